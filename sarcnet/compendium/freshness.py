"""Whether what a finished stage read is still what lies there: asked by `sarcnet status` and by every `Stage.input`."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

from sarcnet.compendium.files import HashBook
from sarcnet.compendium.paths import resolve

RECORD = "stage.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """The `stage.json` of a finished stage, or None when the stage is not finished."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None


class Records:
    """The records of a run's stages, each read once.

    Args:
        run_dir: folder of the run.
        book: checksums of the files that no stage wrote.
    """

    def __init__(self, run_dir: Path, book: HashBook) -> None:
        self._run_dir, self._book = run_dir, book
        self._read: dict[str, dict[str, Any] | None] = {}

    def get(self, stage: str) -> dict[str, Any] | None:
        """The record of a stage, or None when it has not finished."""
        if stage not in self._read:
            self._read[stage] = read_record(self._run_dir / stage)
        return self._read[stage]

    def stale_input(self, record: dict[str, Any]) -> str | None:
        """Which input of a stage is no longer what its record says, as a clause, or None."""
        for reference, digest in record["inputs"].items():
            producer, _, name = reference.partition("/")
            if self._outputs(producer).get(name, {}).get("sha256") != digest:
                return f"its input {reference} changed"
        for pattern, names in record["patterns"].items():
            producer, _, wanted = pattern.partition("/")
            if sorted(fnmatch.filter(self._outputs(producer), wanted)) != names:
                return f"its inputs {pattern} are others now"
        for source, digest in record["sources"].items():
            try:
                if self._book.sha256(resolve(source)) != digest:
                    return f"{source} changed"
            except OSError as error:
                return f"{source} cannot be read ({error.strerror})"
        return None

    def stale_upstream(self, stage: str) -> tuple[str, str] | None:
        """The first stage, of `stage` and all that it builds on, that has to run again, and why as a clause; or None."""
        waiting, closure = [stage], set()
        while waiting:
            name = waiting.pop()
            closure.add(name)
            found = self.get(name) or {"inputs": {}, "patterns": {}}
            producers = {reference.partition("/")[0] for reference in (*found["inputs"], *found["patterns"])}
            waiting.extend(producers - closure)
        for name in sorted(closure):
            record = self.get(name)
            if clause := "it has not finished yet" if record is None else self.stale_input(record):
                return name, clause
        return None

    def _outputs(self, producer: str) -> dict[str, Any]:
        return (self.get(producer) or {"outputs": {}})["outputs"]
