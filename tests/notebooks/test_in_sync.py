"""notebooks/*.ipynb are written from notebooks/src/*.py and carry no outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sarcnet.compendium.study import Notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_notebooks_are_what_their_sources_say():
    done = subprocess.run(
        [sys.executable, "-m", "sarcnet.cli.main", "notebooks", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert [cell["id"] for cell in cells] == [str(number) for number in range(len(cells))]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_an_edit_made_in_jupyterlab_is_noticed(tmp_path):
    copy = tmp_path / NOTEBOOKS[0].name
    notebook = json.loads(NOTEBOOKS[0].read_text())
    notebook["cells"][0]["source"].append("\nA remark.")
    copy.write_text(json.dumps(notebook))
    assert not Notebook(copy).edited, "prose is no code"
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["source"] = [*code["source"], "\nprint(1)"]
    copy.write_text(json.dumps(notebook))
    assert Notebook(copy).edited
