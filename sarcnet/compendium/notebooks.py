"""Two forms of one notebook: the percent script that people edit and review, and the .ipynb that is opened and run.

The conversion is jupytext's; around it the .ipynb is made canonical (cell ids 0..n, no outputs), so that the same
source always gives the same bytes. `make notebooks` goes one way, `make from-notebooks` the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarcnet.compendium.files import atomic_path

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
HEADER = """# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   sarcnet:
#     settings: {settings}
# ---

"""


def source_digest(text: str) -> str:
    """What a generated notebook remembers of its source, so that a stale one is noticed without converting."""
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(cells: Sequence[Mapping[str, Any]]) -> str:
    """What a generated notebook remembers of its own code, so that an edit made in JupyterLab is noticed."""
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def to_ipynb(text: str) -> str:
    """The .ipynb file (JSON text) of a percent script."""
    import jupytext

    notebook = jupytext.reads(text, fmt="py:percent")
    cells = []
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        made: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "id": str(number),
            "metadata": {"tags": list(tags)} if tags else {},
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.cell_type == "code":
            made |= {"execution_count": None, "outputs": []}
        cells.append(dict(sorted(made.items())))
    metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "sarcnet": {
            **notebook.metadata.get("sarcnet", {}),
            "source_sha256": source_digest(text),
            "code_sha256": code_digest(cells),
        },
    }
    made_notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made_notebook, indent=1, ensure_ascii=False) + "\n"


def to_percent(ipynb: str) -> str:
    """The percent script of an .ipynb file (JSON text), outputs dropped."""
    import jupytext
    import nbformat

    notebook = nbformat.reads(ipynb, as_version=4)
    settings = notebook.metadata.get("sarcnet", {}).get("settings", "")
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        cell.source = cell.source.rstrip()
    notebook.metadata = nbformat.NotebookNode({})
    body = jupytext.writes(notebook, fmt={"extension": ".py", "format_name": "percent"})
    return HEADER.format(settings=settings) + body[body.index("# %%") :].rstrip() + "\n"


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(source, notebook) for every name that exists in either form."""
    names = {path.stem for path in (folder / "src").glob("[0-9]*.py")} | {
        path.stem for path in folder.glob("[0-9]*.ipynb")
    }
    return [(folder / "src" / f"{name}.py", folder / f"{name}.ipynb") for name in sorted(names)]


def differences(folder: Path) -> list[str]:
    """A sentence for each notebook that is not what its source makes of it."""
    said = []
    for source, notebook in pairs(folder):
        if not source.exists():
            said.append(f"{notebook.name} has no source; run `make from-notebooks`.")
        elif not notebook.exists() or to_ipynb(source.read_text()) != notebook.read_text():
            said.append(
                f"{notebook.name} is not what src/{source.name} says; run `make notebooks` if you edited the source, "
                "`make from-notebooks` if you edited the notebook."
            )
    return said


def write_notebooks(folder: Path, *, from_ipynb: bool = False) -> list[Path]:
    """Write every notebook from its source; with `from_ipynb` first every source from its notebook.

    Args:
        folder: with the notebooks, and `src` with their sources.
        from_ipynb: whether notebooks that were edited in JupyterLab overrule their sources.

    Returns:
        The files that changed.
    """
    written: list[Path] = []
    for source, notebook in pairs(folder):
        if from_ipynb and notebook.exists():
            _write(source, to_percent(notebook.read_text()), written)
        if source.exists():
            _write(notebook, to_ipynb(source.read_text()), written)
    return written


def _write(path: Path, text: str, written: list[Path]) -> None:
    if not path.exists() or path.read_text() != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text)
        written.append(path)
