"""A stage: one notebook, what it reads, what it leaves, and the record that it finished.

A stage counts as finished only when its `stage.json` stands in its folder, written last by :meth:`Stage.close`. Files
alone prove nothing: an interrupted notebook leaves files too.
"""

from __future__ import annotations

import fnmatch
import platform
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from sarcnet.compendium import figures, seeds
from sarcnet.compendium.code_dependencies import loaded_modules
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import HashBook, atomic_path, write_json
from sarcnet.compendium.freshness import RECORD, Records
from sarcnet.compendium.jsonable import to_jsonable
from sarcnet.compendium.params import AnySettings, injected, refuse_unknown, validated
from sarcnet.compendium.paths import resolve, shown
from sarcnet.compendium.progress import in_kernel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

DATA_KINDS = {"simulated": "Simulated data", "public": "Public data", "private": "Private data"}


class Stage(Generic[AnySettings]):
    """Opened by :meth:`open`, closed by :meth:`close`; see those and the methods between."""

    def __init__(self, name: str, settings: AnySettings) -> None:
        self.name = name
        self.settings = settings
        self.run_dir = resolve(settings.run_dir)
        self.dir = self.run_dir / name
        self.data_kind: str | None = None
        self._inputs: dict[str, str] = {}
        self._patterns: dict[str, list[str]] = {}
        self._sources: dict[str, str] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, dict[str, Any]] = {}
        self._figures: dict[str, str] = {}
        self._left_out: list[dict[str, Any]] = []
        self._seeds: set[str] = set()
        self._book = HashBook(self.run_dir / "hashes.json")
        self._records = Records(self.run_dir, self._book)
        self._checked: set[str] = set()
        self._begin = time.monotonic()

    @classmethod
    def open(cls, name: str, settings: type[AnySettings], cell: Mapping[str, Any]) -> Stage[AnySettings]:
        """Begin the stage `name` anew: what it finished before counts no longer, though its files stay for resuming.

        Args:
            name: the notebook's name, for example "01_tiling".
            settings: the stage's settings class; it checks types and ranges.
            cell: where the parameters are, in a notebook ``vars()``.

        Raises:
            SarcnetError: a parameter is missing, of the wrong type or out of range; papermill was given a name that no
                notebook declares; the folder cannot be written.
        """
        unknown = injected(cell.get("In", ())) - settings.model_fields.keys()
        if unknown:
            from sarcnet.compendium.study import all_notebooks

            owners = {item.name: item.parameters for item in all_notebooks()}
            refuse_unknown(unknown, owners, heading=f"{name} cannot start with the parameters given to papermill")
        stage = cls(name, validated(settings, cell))
        loaded_modules()  # takes down the code as it is now: an edit while the notebook runs is not what made the result
        try:
            stage.dir.mkdir(parents=True, exist_ok=True)
            (stage.dir / RECORD).unlink(missing_ok=True)
        except OSError as error:
            raise SarcnetError(
                f"{name} cannot write to {shown(stage.dir)} ({error.strerror}); choose another run_dir or make the "
                "folder writable."
            ) from None
        figures.theme()
        import pandas as pd

        pd.set_option("display.max_colwidth", None)  # a table in a notebook shows its texts whole
        return stage

    def set_data_kind(self, kind: str) -> None:
        """Say what the data are: "simulated", "public" or "private". Later stages inherit it from their inputs."""
        if kind not in DATA_KINDS:
            raise SarcnetError(f"cohort_kind is '{kind}'; it must be one of {', '.join(DATA_KINDS)}.")
        self.data_kind = kind

    # What comes in

    def input(self, reference: str) -> Path:
        """Path of an earlier stage's output, for example ``input("00_cohort/slides.parquet")``.

        Raises:
            SarcnetError: that stage is not finished, has no such output, the file is missing or was changed since,
                something that it or an earlier stage read was changed since, or this stage is not among its allowed
                readers. The message says which notebook to run.
        """
        producer, _, name = reference.partition("/")
        record = self._record(producer)
        if name not in record["outputs"]:
            raise SarcnetError(f"{producer} leaves no output called {name}; it leaves {_few(record['outputs'])}.")
        output = record["outputs"][name]
        path = resolve(output["path"])
        remedy = f"run notebook {producer} again, or `make reproduce FROM={producer}`"
        if output["readers"] and self.name not in output["readers"]:
            raise SarcnetError(f"{self.name} may not open {reference}: only {', '.join(output['readers'])} may.")
        try:
            found = self._book.sha256(path)
        except FileNotFoundError:
            raise SarcnetError(f"{shown(path)} of {producer} is missing; {remedy}.") from None
        if found != output["sha256"]:
            raise SarcnetError(f"{shown(path)} is not what {producer} wrote: it was changed since; {remedy}.")
        self._inputs[reference] = found
        self.data_kind = self.data_kind or record["data_kind"]
        return path

    def inputs(self, pattern: str) -> dict[str, Path]:
        """Paths of all outputs of one stage whose names match, by name: ``inputs("02_features/features/*.h5")``.

        Outputs that this stage may not read are left out, since the pattern does not ask for them by name.
        """
        producer, _, names = pattern.partition("/")
        outputs = self._record(producer)["outputs"]
        allowed = [
            name for name in sorted(outputs) if not outputs[name]["readers"] or self.name in outputs[name]["readers"]
        ]
        self._patterns[pattern] = fnmatch.filter(sorted(outputs), names)
        return {name: self.input(f"{producer}/{name}") for name in fnmatch.filter(allowed, names)}

    def source(self, path: str | Path) -> Path:
        """Absolute path of a file that no stage wrote (a hospital's table); when it changes, this stage runs again.

        Raises:
            SarcnetError: there is no such file.
        """
        target = resolve(path)
        try:
            self._sources[shown(target)] = self._book.sha256(target)
        except OSError as error:
            raise SarcnetError(f"{self.name} needs {shown(target)}, which cannot be read ({error.strerror}).") from None
        return target

    def produced(self, reference: str) -> bool:
        """Whether a finished earlier stage has this output, so that a notebook can do without it."""
        producer, _, name = reference.partition("/")
        return name in self._record(producer)["outputs"]

    def parameters_of(self, producer: str) -> dict[str, Any]:
        """The parameters with which an earlier stage finished, for doing again in small what it did.

        Raises:
            SarcnetError: that stage is not finished.
        """
        return dict(self._record(producer)["parameters"])

    def _record(self, producer: str) -> dict[str, Any]:
        record = self._records.get(producer)
        if record is None:
            raise SarcnetError(
                f"{self.name} needs {producer}, which has not finished in {shown(self.run_dir)}; run notebook "
                f"{producer} first, or `make reproduce UPTO={producer}`."
            )
        if producer not in self._checked and (stale := self._records.stale_upstream(producer)):
            stage, reason = stale
            raise SarcnetError(
                f"{self.name} needs {producer}, but {stage} would run again, because {reason}; run notebook {stage} and "
                f"those after it again, or `make reproduce FROM={stage}`."
            )
        self._checked.add(producer)
        return record

    # What goes out

    def output(self, name: str, *, path: str | Path | None = None, readers: tuple[str, ...] = ()) -> Path:
        """Announce an output and get the path to write it to (write to a temporary file, then rename).

        Args:
            name: its name within this stage, which later stages ask for.
            path: where it lies when it is not `dir`/`name` (slides lie in the cohort's folder).
            readers: the only stages that may open it; empty for all.
        """
        target = resolve(path) if path is not None else self.dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._outputs[name] = {"path": target, "readers": list(readers)}
        return target

    def write_table(self, name: str, frame: pd.DataFrame, *, readers: tuple[str, ...] = ()) -> Path:
        """Write `frame` as parquet, without its index, and announce it."""
        path = self.output(name, readers=readers)
        with atomic_path(path) as temporary:
            frame.to_parquet(temporary, index=False)
        return path

    def write_json(self, name: str, value: Any, *, readers: tuple[str, ...] = ()) -> Path:
        """Write `value` as JSON (see :func:`sarcnet.compendium.jsonable.to_jsonable`) and announce it."""
        path = self.output(name, readers=readers)
        write_json(path, to_jsonable(value))
        return path

    def rng(self, *names: str | int) -> np.random.Generator:
        """Generator called `names` under this stage's seed; its first name is recorded."""
        self._seeds.add(str(names[0]))
        return seeds.rng(self.settings.seed, *names)

    def number(
        self,
        name: str,
        value: float,
        *,
        low: float | None = None,
        high: float | None = None,
        n: int | None = None,
        unit: str = "",
    ) -> None:
        """Record a result, with the bounds of its interval, the number of patients (or slides) and its unit."""
        self._numbers[name] = to_jsonable({"value": value, "low": low, "high": high, "n": n, "unit": unit})

    def figure(self, name: str, figure: Figure, *, data: Any, caption: str) -> None:
        """Show a figure with its caption, and keep it as PNG with the numbers it shows as JSON.

        Args:
            name: its name within this stage.
            figure: marked here with the kind of data, shown once and then closed.
            data: the numbers that it shows.
            caption: plain text; stands below the figure and is its alternative text.

        Raises:
            SarcnetError: the caption is empty.
        """
        if self.data_kind:
            figures.mark(figure, DATA_KINDS[self.data_kind])
        record = {"figure": name, "stage": self.name, "caption": caption, "data_kind": self.data_kind}
        for path in figures.save(figure, self.dir / "figures" / name, data=data, record=record):
            self.output(f"figures/{path.name}", path=path)
        self._figures[name] = caption
        figures.show(figure, caption=caption)

    def left_out(
        self,
        what: str,
        *,
        of: Mapping[str, int],
        unusable: Mapping[str, int],
        known: Mapping[str, int],
        report: Path,
        advice: str,
    ) -> None:
        """Record that part of what came in could not be used, though the stage goes on. `sarcnet run` then says so at its
        end, and its exit code is 3 unless all of it was known beforehand.

        Args:
            what: of what, in the plural, for example "slides".
            of: how many came in, by hospital.
            unusable: how many of them could not be used; hospitals without any may be missing.
            known: how many of these were known to fail.
            report: the file that names each with cause and advice.
            advice: what to do about them, a full sentence.
        """
        counts = {"of": of, "unusable": unusable, "known": known}
        self._left_out.append({"what": what, **to_jsonable(counts), "report": shown(report), "advice": advice})

    def close(self) -> None:
        """Check and hash what was announced, write `stage.json`, and show what stands in it.

        Raises:
            SarcnetError: an announced output was not written.
        """
        faults = ErrorCollector()
        outputs = {}
        for name, output in self._outputs.items():
            path = output["path"]
            try:
                if not path.is_file():
                    faults.add(f"{name} was announced, but {shown(path)} was not written.")
                    continue
                outputs[name] = {
                    "path": shown(path),
                    "sha256": self._book.sha256(path),
                    "bytes": path.stat().st_size,
                    "readers": output["readers"],
                }
            except PermissionError:
                if path.is_relative_to(self.dir):
                    faults.add(f"{name} was announced, but {shown(path)} may not be read; give yourself the right.")
                else:  # a hospital's own file: whoever needs it says so then, and what can be read goes on
                    _say(f"**{shown(path)} may not be read**, so it is not on record.")
        faults.raise_if_any(f"{self.name} cannot be closed")
        self._book.save()
        wall_s = time.monotonic() - self._begin
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        peak_mb = peak / (1024**2 if sys.platform == "darwin" else 1024)
        record = {
            "stage": self.name,
            "data_kind": self.data_kind,
            "parameters": self.settings.model_dump(),
            "inputs": dict(sorted(self._inputs.items())),
            "patterns": self._patterns,
            "sources": dict(sorted(self._sources.items())),
            "outputs": outputs,
            "numbers": self._numbers,
            "figures": self._figures,
            "left_out": self._left_out,
            "seeds": sorted(self._seeds),
            "modules": loaded_modules(),
            "python": platform.python_version(),
            "wall_s": round(wall_s, 2),
            "peak_memory_mb": round(peak_mb),
        }
        write_json(self.dir / RECORD, record)
        size = sum(output["bytes"] for output in outputs.values())
        _say(
            f"**{self.name} is closed.** {DATA_KINDS.get(self.data_kind or '', 'Data of no stated kind')}; "
            f"{len(self._inputs)} inputs, {len(outputs)} outputs ({size / 1e6:.1f} MB), {wall_s:.0f} s. "
            f"The record is `{shown(self.dir / RECORD)}`."
        )


def _few(names: Mapping[str, Any]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "") or "nothing"


def _say(text: str) -> None:
    if in_kernel():
        from IPython.display import Markdown, display

        display(Markdown(text))
    else:
        print(text.replace("**", ""))
