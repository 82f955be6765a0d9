"""Executed notebooks: where they lie, the links between them, and what papermill noted in them of how the run went."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sarcnet.compendium.files import atomic_path

# The target of a relative Markdown link, without its anchor; a colon stands only in links with a scheme.
RELATIVE_LINK = re.compile(r"(?<=\]\()[^)\s#:]+(?=(?:#[^)\s]*)?\))")


def executed_path(run_dir: str | Path, name: str) -> Path:
    """Where the executed notebook `name` of a run lies."""
    return Path(run_dir) / name / f"{name}.executed.ipynb"


def relink(path: Path, *, written_in: Path, sources: Sequence[Path], run_dir: Path) -> None:
    """Make the relative links in the Markdown of an executed notebook, outputs included, work from where it lies.

    A link to another notebook of the study leads to that notebook as executed in the same run, or, where it was not
    executed, to its source.

    Args:
        path: the executed notebook, changed in place.
        written_in: the folder from which its links work now.
        sources: the notebooks of the study.
        run_dir: the folder of the run.
    """
    known = {source.stem: source for source in sources}

    def moved(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(written_in / link[0]))
        name = target.name.removesuffix(".ipynb").removesuffix(".executed")
        if target.suffix == ".ipynb" and name in known:
            executed = executed_path(run_dir, name)
            target = executed if executed.exists() else known[name]
        return Path(os.path.relpath(target, path.parent)).as_posix()

    notebook = _read(path)
    for cell in notebook["cells"]:
        texts = [(cell, "source")] if cell["cell_type"] == "markdown" else []
        texts += [(output.get("data", {}), "text/markdown") for output in cell.get("outputs", [])]
        for holder, key in texts:
            if key in holder:
                holder[key] = RELATIVE_LINK.sub(moved, "".join(holder[key])).splitlines(keepends=True)
    _write(path, notebook)


def forget_folders(path: Path) -> None:
    """Take the folders of this machine out of what papermill noted in a notebook, which may be handed on."""
    notebook = _read(path)
    for key in ("input_path", "output_path"):
        notebook["metadata"]["papermill"][key] = Path(notebook["metadata"]["papermill"][key]).name
    _write(path, notebook)


def left_early(path: Path) -> bool:
    """Whether a cell ended by SystemExit, which papermill takes for success."""
    return any(
        output.get("ename") == "SystemExit" for cell in _read(path)["cells"] for output in cell.get("outputs", [])
    )


def last_cell(path: Path) -> tuple[int | None, str]:
    """Position (from 1) and first line of the last cell that papermill started; its `status` is not to be trusted."""
    try:
        cells = _read(path)["cells"]
    except (FileNotFoundError, json.JSONDecodeError):
        return None, ""
    cells = [cell for cell in cells if "papermill-error-cell-tag" not in cell["metadata"].get("tags", [])]
    started = [number for number, cell in enumerate(cells, 1) if _is_code(cell) and _noted(cell, "start_time")]
    return (started[-1], _first_line(cells[started[-1] - 1])) if started else (None, "")


def kernel_start_s(path: Path) -> float:
    """Seconds from papermill's start to the first cell's: the kernel's way up, which is no work of the stage."""
    notebook = _read(path)
    first = min(datetime.fromisoformat(time) for cell in notebook["cells"] if (time := _noted(cell, "start_time")))
    return round((first - datetime.fromisoformat(_noted(notebook, "start_time"))).total_seconds(), 1)


def slowest(path: Path, *, count: int = 3) -> list[dict[str, Any]]:
    """The cells that took longest: seconds and first line."""
    timed = [cell for cell in _read(path)["cells"] if _is_code(cell) and _noted(cell, "duration")]
    cells = [{"seconds": round(_noted(cell, "duration"), 1), "cell": _first_line(cell)} for cell in timed]
    return sorted(cells, key=lambda item: -item["seconds"])[:count]


def _is_code(cell: dict[str, Any]) -> bool:
    return cell["cell_type"] == "code"


def _noted(part: dict[str, Any], key: str) -> Any:
    """What papermill noted of a cell or of the notebook, or None."""
    return part["metadata"].get("papermill", {}).get(key)


def _first_line(cell: dict[str, Any]) -> str:
    return "".join(cell["source"]).strip().partition("\n")[0]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, notebook: dict[str, Any]) -> None:
    """Write the notebook whole, unless that changes nothing."""
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if text != path.read_text(encoding="utf-8"):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
