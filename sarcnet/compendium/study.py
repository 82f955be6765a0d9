"""The study on disk: its notebooks in order, and for a profile whether each stage is up to date and why not."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sarcnet.compendium.code_dependencies import is_unchanged
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import HashBook, sha256
from sarcnet.compendium.freshness import RECORD, Records, read_record
from sarcnet.compendium.notebooks import code_digest, source_digest
from sarcnet.compendium.params import (
    AnySettings,
    Parameter,
    Settings,
    check_profile,
    declared,
    read_profile,
    settings_class,
    validated,
)
from sarcnet.compendium.paths import resolve, root

RECEIPT = "run.json"  # what the runner adds to a stage's own record: code, lock, Python


@dataclass(frozen=True)
class Notebook:
    """One stage's notebook, read without executing anything."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def content(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise SarcnetError(f"{self.path.name} is not a notebook ({error}); run `make notebooks`.") from None

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        for cell in self.content["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                return declared("".join(cell["source"]), where=f"{self.path.name}, cell tagged 'parameters'")
        raise SarcnetError(f"{self.path.name} has no cell tagged 'parameters'.")

    @cached_property
    def settings(self) -> type[Settings]:
        return settings_class(self.content["metadata"]["sarcnet"]["settings"])

    @property
    def code(self) -> list[str]:
        """Its code cells, but for the parameters."""
        cells = [cell for cell in self.content["cells"] if cell["cell_type"] == "code"]
        return ["".join(cell["source"]) for cell in cells if "parameters" not in cell["metadata"].get("tags", [])]

    @cached_property
    def code_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.code).encode()).hexdigest()

    @property
    def edited(self) -> bool:
        """Whether its code was changed since it was made from its source, as in JupyterLab."""
        made = self.content["metadata"].get("sarcnet", {}).get("code_sha256")
        return made is not None and made != code_digest(self.content["cells"])

    def check_source(self) -> None:
        """Refuse a notebook that was not renewed after its source was edited."""
        source = self.path.parent / "src" / f"{self.name}.py"
        made_from = self.content["metadata"].get("sarcnet", {}).get("source_sha256")
        if source.exists() and made_from != source_digest(source.read_text(encoding="utf-8")):
            raise SarcnetError(
                f"notebooks/src/{source.name} was edited since {self.path.name} was made; run `make notebooks`."
            )


def all_notebooks() -> tuple[Notebook, ...]:
    """The notebooks of the study, in order."""
    return tuple(Notebook(path) for path in sorted((root() / "notebooks").glob("[0-9][0-9]_*.ipynb")))


@dataclass(frozen=True)
class Study:
    """All notebooks under one profile."""

    profile: str
    profile_path: Path
    values: Mapping[str, Any]
    notebooks: tuple[Notebook, ...]

    @classmethod
    def load(cls, profile: str) -> Study:
        """Read and check the profile `profile` (a name in papermill_params/, or the path of a YAML file).

        Raises:
            SarcnetError: no such profile, a value YAML misreads, an unknown key, a wrong type, a stale notebook.
        """
        folder = root() / "papermill_params"
        path = Path(profile) if profile.endswith((".yaml", ".yml")) else folder / f"{profile}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(item.stem for item in folder.glob("*.yaml")))
            raise SarcnetError(f"There is no profile {profile}; there are {known}, or give the path of a .yaml file.")
        notebooks = all_notebooks()
        if not notebooks:
            raise SarcnetError(f"There are no notebooks in {root() / 'notebooks'}; run `make notebooks`.")
        for notebook in notebooks:
            notebook.check_source()
        values = read_profile(path)
        check_profile(path.name, values, {item.name: (item.parameters, item.settings) for item in notebooks})
        return cls(path.stem, path, values, notebooks)

    def parameters(self, notebook: Notebook) -> dict[str, Any]:
        """The values that `notebook` runs with: its own defaults, overruled by the profile."""
        return {name: self.values.get(name, item.default) for name, item in notebook.parameters.items()}

    def settings_for(self, stage: str, settings: type[AnySettings]) -> AnySettings:
        """What a notebook runs with under this profile, as its settings class."""
        (notebook,) = (notebook for notebook in self.notebooks if notebook.name == stage)
        return validated(settings, self.parameters(notebook))

    @property
    def run_dir(self) -> Path:
        found = {str(self.parameters(notebook)["run_dir"]) for notebook in self.notebooks}
        if len(found) > 1:
            raise SarcnetError(
                f"The notebooks do not agree on run_dir: {', '.join(sorted(found))}; set it in the profile."
            )
        return resolve(found.pop())

    def why(self, notebook: Notebook, book: HashBook) -> str | None:
        """Why the stage has to run, as a short clause, or None when it is up to date."""
        folder = self.run_dir / notebook.name
        record = read_record(folder)
        if record is None:
            return "it has not finished yet"
        receipt = read_receipt(folder)
        if receipt is None:
            return "it was last run by hand"
        if receipt["code"] != notebook.code_sha256:
            return f"the code of {notebook.path.name} changed"
        settings = notebook.settings(**self.parameters(notebook)).model_dump()
        for name in sorted(settings.keys() | record["parameters"].keys()):
            old, new = record["parameters"].get(name), settings.get(name)
            if old != new:
                return f"{name} changed from {old} to {new}"
        for name, digest in record["modules"].items():
            if not is_unchanged(name, digest):
                return f"{name} changed"
        stale_input = Records(self.run_dir, book).stale_input(record)
        return stale_input or stale_output(record, book) or stale_base(receipt)


def stale_output(record: dict[str, Any], book: HashBook) -> str | None:
    """Whether an output is no longer what its stage wrote."""
    for name, output in record["outputs"].items():
        try:
            if book.sha256(resolve(output["path"])) != output["sha256"]:
                return f"its output {name} was edited"
        except FileNotFoundError:
            return f"its output {name} was removed"
    return None


def stale_base(receipt: dict[str, str]) -> str | None:
    """Whether the pins or Python itself are others than in the receipt."""
    if receipt["lock"] != lock_sha256():
        return "requirements.lock.txt changed"
    if receipt["python"] != platform.python_version():
        return f"Python changed from {receipt['python']} to {platform.python_version()}"
    return None


def lock_sha256() -> str:
    """SHA-256 of the pins, or "" when there are none."""
    path = root() / "requirements.lock.txt"
    return sha256(path) if path.exists() else ""


def receipt_for(notebook: Notebook, folder: Path) -> dict[str, str]:
    """What the runner writes beside a stage's record once the stage closed itself."""
    return {
        "record": sha256(folder / RECORD),
        "code": notebook.code_sha256,
        "lock": lock_sha256(),
        "python": platform.python_version(),
    }


def read_receipt(folder: Path) -> dict[str, str] | None:
    """The runner's receipt, or None when the present record is not the one that the runner saw being written."""
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return receipt if receipt.get("record") == sha256(folder / RECORD) else None
