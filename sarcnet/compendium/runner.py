"""Runs the notebooks of a profile in order, skips what is up to date, and believes only a stage that closed itself.

Papermill's return and its saved notebook are not proof: after a killed kernel or a cell timeout the saved notebook says
that every cell completed, and `sys.exit()` in a cell counts as success.

Own code, since Snakemake, doit and DVC order commands and compare files: none of them knows a notebook's cell, says which
parameter or which line of code made a stage stale, or asks the stage whether it closed itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sarcnet.compendium.code_dependencies import libraries
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.excluded import WITH_LOSSES, closing, exclusions, unforeseen
from sarcnet.compendium.executed import (
    executed_path,
    forget_folders,
    kernel_start_s,
    last_cell,
    left_early,
    relink,
    slowest,
)
from sarcnet.compendium.files import HashBook, write_json
from sarcnet.compendium.freshness import RECORD, read_record
from sarcnet.compendium.kernels import PROVISIONER, warm
from sarcnet.compendium.manifest import Manifest
from sarcnet.compendium.paths import root, shown
from sarcnet.compendium.study import RECEIPT, Notebook, Study, receipt_for
from sarcnet.compendium.terminal import Terminal, duration

LOG = "kernel.log"
ENVIRONMENT = {
    "SARCNET_HEADLESS": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TQDM_DISABLE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


@dataclass
class Failure(Exception):
    """Why a stage did not finish."""

    status: str  # failed | killed | timeout | interrupted
    error: str
    cell: int | None = None  # position among all cells, from 1
    line: str = ""  # first line of that cell


def chosen(study: Study, *, first: str | None, only: str | None, last: str | None) -> list[Notebook]:
    """The notebooks from `first` to `last`, or just `only`; each may be given as "04", "4" or "04_federation".

    Raises:
        SarcnetError: no notebook is called so.
    """
    names = [notebook.name for notebook in study.notebooks]

    def position(text: str) -> int:
        for index, name in enumerate(names):
            if text == name or text.zfill(2) == name[:2]:
                return index
        raise SarcnetError(f"There is no stage {text}; there are {', '.join(names)}.")

    begin, end = only or first, only or last
    return list(study.notebooks[position(begin) if begin else 0 : (position(end) if end else len(names)) + 1])


def run(
    study: Study,
    *,
    first: str | None = None,
    only: str | None = None,
    last: str | None = None,
    force: bool = False,
    cell_timeout_s: int = 10_800,
) -> int:
    """Run what is not up to date.

    Args:
        study: notebooks and profile, already checked.
        first, only, last: limit the run to some stages; see :func:`chosen`.
        force: run them even when they are up to date.
        cell_timeout_s: seconds after which a single cell is given up.

    Returns:
        0 when all chosen stages are finished, 3 when they are but slides could not be used that nobody had said would
        fail (see :mod:`sarcnet.compendium.excluded`), 1 when a stage failed, 130 when interrupted.
    """
    notebooks = chosen(study, first=first, only=only, last=last)
    terminal = Terminal()
    with locked(study.run_dir):
        manifest = Manifest(study)
        book = HashBook(study.run_dir / "hashes.json")
        begin = time.monotonic()
        warmed = False
        for notebook in notebooks:
            reason = "asked for" if force or (first and notebook is notebooks[0]) else study.why(notebook, book)
            if reason is None:
                terminal.line(f"{notebook.name}: up to date")
                manifest.stage(notebook.name, status="skipped", reason="up to date")
                continue
            terminal.line(f"{notebook.name}: runs, because {reason}")
            if notebook.edited:
                terminal.line("  as edited in JupyterLab; `make from-notebooks` writes the edit to its source")
            manifest.stage(notebook.name, status="running", reason=reason)
            started = time.monotonic()
            forked, later = warmed, notebooks[notebooks.index(notebook) + 1 :]
            if later and not warmed:
                warmed = warm(libraries_of(later), ENVIRONMENT)
            try:
                facts = execute(study, notebook, terminal=terminal, cell_timeout_s=cell_timeout_s, forked=forked)
            except Failure as failure:
                manifest.stage(notebook.name, status=failure.status, error=failure.error, cell=failure.cell)
                manifest.finish("interrupted" if failure.status == "interrupted" else "failed")
                report(study, notebook, failure, terminal)
                return 130 if failure.status == "interrupted" else 1
            book = HashBook(study.run_dir / "hashes.json")
            wall_s = time.monotonic() - started
            manifest.stage(notebook.name, status="ok", wall_s=round(wall_s, 1), **facts)
            terminal.line(f"{notebook.name}: done in {duration(wall_s)}, peak memory {facts['peak_memory_gb']:.1f} GB")
        book.save()
        sources = [item.path for item in study.notebooks]
        for source in sources:
            executed = executed_path(study.run_dir, source.stem)
            if executed.exists():  # notebooks linked to before they ran lead to the source so far
                relink(executed, written_in=executed.parent, sources=sources, run_dir=study.run_dir)
        lost = exclusions(study, notebooks)
        for name, listed in lost.items():
            manifest.stage(name, left_out=listed)
        manifest.finish("finished with losses" if unforeseen(lost) else "ok")
        terminal.line(f"{study.profile}: {len(notebooks)} stages finished in {duration(time.monotonic() - begin)}.")
        terminal.line(
            f"Executed notebooks (<stage>.executed.ipynb), tables and figures: {shown(study.run_dir)}/<stage>/"
        )
        for line in closing(lost):
            terminal.line(line)
    return WITH_LOSSES if unforeseen(lost) else 0


def libraries_of(notebooks: list[Notebook]) -> set[str]:
    """Libraries that the notebooks import; a cell that is not plain Python (`%time`) is passed over."""
    found: set[str] = set()
    for code in (code for notebook in notebooks for code in notebook.code):
        with contextlib.suppress(SyntaxError):
            found |= libraries(code)
    return found


def execute(
    study: Study, notebook: Notebook, *, terminal: Terminal, cell_timeout_s: int, forked: bool
) -> dict[str, Any]:
    """Run one notebook by papermill and make sure that its stage closed itself.

    Args:
        study, notebook: what to run.
        terminal: where progress is shown.
        cell_timeout_s: seconds after which a single cell is given up.
        forked: whether its kernel forks from the warm process, or starts by itself.

    Returns:
        Facts for the manifest: peak memory, kernel start, slowest cells, outputs.

    Raises:
        Failure: it did not finish.
    """
    # jsonschema would build a grammar of internationalised addresses, which takes two seconds; no notebook needs it.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    folder = study.run_dir / notebook.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial, executed = partial_path(study, notebook), executed_path(study.run_dir, notebook.name)
        for stale in (folder / RECORD, folder / RECEIPT, folder / LOG, partial):
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise Failure("failed", f"{shown(folder)} cannot be written ({error.strerror}).") from None
    progress = folder / "progress.txt"
    progress.write_text("")
    with kernel_environment(progress, forked=forked), Watch(terminal, progress) as watch:
        try:
            papermill.execute_notebook(
                str(notebook.path),
                str(partial),
                parameters=study.parameters(notebook),
                cwd=str(notebook.path.parent),
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=cell_timeout_s,
                on_cell_executed=stop_where_the_kernel_leaves,
            )
            failure = None
        except PapermillExecutionError as error:
            failure = Failure("failed", f"{error.ename}: {error.evalue}".strip(), *last_cell(partial))
        except DeadKernelError:
            text = f"the kernel ended (killed, perhaps for want of memory, or by exit()); peak seen {watch.peak_gb:.1f} GB."
            failure = Failure("killed", text, *last_cell(partial))
        except CellTimeoutError:
            failure = Failure("timeout", f"the cell took longer than {cell_timeout_s} s.", *last_cell(partial))
        except KeyboardInterrupt:
            failure = Failure("interrupted", "interrupted from the keyboard.", *last_cell(partial))
        except Exception as error:  # no kernel, a folder that vanished: still reported as this stage's
            failure = Failure("failed", f"{type(error).__name__}: {error}", *last_cell(partial))
    progress.unlink(missing_ok=True)
    if failure is None and (read_record(folder) is None or left_early(partial)):
        text = "the notebook ended without closing its stage: a cell left early, as sys.exit() does."
        failure = Failure("failed", text, *last_cell(partial))
    if failure is not None:
        (folder / RECORD).unlink(missing_ok=True)
        raise failure
    forget_folders(partial)
    os.replace(partial, executed)
    sources = [item.path for item in study.notebooks]
    relink(executed, written_in=notebook.path.parent, sources=sources, run_dir=study.run_dir)
    write_json(folder / RECEIPT, receipt_for(notebook, folder))
    record = read_record(folder)
    assert record is not None
    return {
        "peak_memory_gb": round(watch.peak_gb, 2),
        "kernel_start_s": kernel_start_s(executed),
        "slowest_cells": slowest(executed),
        "outputs": len(record["outputs"]),
    }


def partial_path(study: Study, notebook: Notebook) -> Path:
    """Where a notebook lies that did not finish."""
    return executed_path(study.run_dir, notebook.name).with_suffix(".part.ipynb")


def stop_where_the_kernel_leaves(*, execute_reply: Mapping[str, Any], **_: Any) -> None:
    """After exit(0) a kernel lives on for a tenth of a second, in which it would run the cells that follow.

    Raises:
        DeadKernelError: the cell asked the kernel to leave.
    """
    from nbclient.exceptions import DeadKernelError

    if any(said.get("source") == "ask_exit" for said in execute_reply["content"].get("payload", [])):
        raise DeadKernelError("exit() was called")


def report(study: Study, notebook: Notebook, failure: Failure, terminal: Terminal) -> None:
    """Five lines that say what failed, where, why, what to read and how to go on."""
    profile = study.profile if study.profile_path.parent == root() / "papermill_params" else shown(study.profile_path)
    where = f"cell {failure.cell}: {failure.line}" if failure.cell else "before the first cell"
    partial = partial_path(study, notebook)
    terminal.line(f"{notebook.name}: {failure.status}")
    terminal.line(f"  where   {where}")
    terminal.line(f"  error   {failure.error}")
    terminal.line(f"  read    {shown(partial) if partial.exists() else 'no notebook was written'}")
    terminal.line(f"  resume  sarcnet run {profile}   (what is finished is kept)")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder, so that two runs do not write into each other.

    Raises:
        SarcnetError: another run holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        with lock:
            yield
    except Timeout:
        raise SarcnetError(f"Another run is at work in {shown(folder)}; wait for it or end it.") from None
    except PermissionError as error:
        raise SarcnetError(f"{shown(folder)} cannot be written ({error.strerror}); choose another run_dir.") from None


@contextlib.contextmanager
def kernel_environment(progress: Path, *, forked: bool) -> Iterator[None]:
    """Environment in which kernels start: headless, no telemetry, and "python3" meaning this very interpreter."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="sarcnet-kernel-") as folder:
        kernel = Path(folder) / "kernels" / "python3"
        kernel.mkdir(parents=True)
        # What a kernel writes past the notebook (warnings of libraries in C, of ZeroMQ) goes to a file beside it.
        launch = "import os, runpy; log = open(os.environ['SARCNET_KERNEL_LOG'], 'ab'); os.dup2(log.fileno(), 2); "
        launch += "runpy.run_module('ipykernel_launcher', run_name='__main__', alter_sys=True)"
        argv = [sys.executable, "-c", launch, "-f", "{connection_file}"]
        spec: dict[str, Any] = {"argv": argv, "display_name": "Python 3", "language": "python"}
        if forked:
            spec["metadata"] = {"kernel_provisioner": {"provisioner_name": PROVISIONER}}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        os.environ.update(ENVIRONMENT)
        os.environ["SARCNET_ROOT"] = str(root())
        os.environ["SARCNET_PROGRESS"] = str(progress)
        os.environ["SARCNET_KERNEL_LOG"] = str(progress.with_name(LOG))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before.get("JUPYTER_PATH")]))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


class Watch:
    """While a kernel works: its peak memory (with all its children), and its progress in the terminal."""

    def __init__(self, terminal: Terminal, progress: Path) -> None:
        self.peak_gb = 0.0
        self._terminal, self._progress, self._read = terminal, progress, 0
        self._seen: dict[int, psutil.Process] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Watch:
        self._before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._terminal.clear()
        for process in self._seen.values():  # a kernel that was killed leaves its worker processes behind
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _work(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.5):
            resident = 0
            for process in me.children(recursive=True):
                if process.pid in self._before:  # the warm process, from which kernels fork
                    continue
                self._seen[process.pid] = process
                with contextlib.suppress(psutil.Error):
                    resident += process.memory_info().rss
            self.peak_gb = max(self.peak_gb, resident / 2**30)
            with contextlib.suppress(OSError):
                text = self._progress.read_text()
                for line in text[self._read :].splitlines():
                    self._terminal.progress(line)
                self._read = len(text)
