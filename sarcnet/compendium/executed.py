"""Executed notebooks: where they lie, and the links between them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

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

    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    for cell in notebook["cells"]:
        texts = [(cell, "source")] if cell["cell_type"] == "markdown" else []
        texts += [(output.get("data", {}), "text/markdown") for output in cell.get("outputs", [])]
        for holder, key in texts:
            if key in holder:
                holder[key] = RELATIVE_LINK.sub(moved, "".join(holder[key])).splitlines(keepends=True)
    after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if after != before:
        with atomic_path(path) as temporary:
            temporary.write_text(after, encoding="utf-8")
