"""What a reader sees in an executed notebook: figures with captions, links that resolve, however it was run."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from sarcnet.compendium.executed import RELATIVE_LINK, executed_path

CAPTION = 'Follow-up of "all" patients: 3 < 4, n = 4.'
KINDS = f"""
import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from IPython.display import Markdown, display

# %% [markdown]
# Figures, tables, text and a widget.

# %%
figure, ax = plt.subplots(figsize=(2, 1))
ax.plot([1, 2])
stage.figure("line", figure, data=[1, 2], caption={CAPTION!r})
display(Markdown("A figure *above*."))

# %%
plt.plot([3, 4])

# %%
display(pd.DataFrame({{"patients": [1, 2]}}))
print("two")
Markdown("A sentence.")

# %%
ipywidgets.IntSlider(description="round")

# %%
stage.output("parent.txt").write_text(open("/proc/self/stat").read().split()[3])
2 + 2
"""
FIGURE = ("display_data", ("image/png", "text/html", "text/plain"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def kinds(path):
    """For each code cell but papermill's own, the kinds of its outputs in order; text printed in pieces is one."""
    found = []
    for cell in cells(path):
        if cell["cell_type"] == "code" and "injected-parameters" not in cell["metadata"].get("tags", []):
            outputs = []
            for output in cell["outputs"]:
                kind = (output["output_type"], tuple(sorted(output.get("data", {}))) or output.get("name"))
                if kind[0] != "stream" or kind not in outputs[-1:]:
                    outputs.append(kind)
            found.append(outputs)
    return found


def by_papermill(toy, *words, name="02_three"):
    command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", str(toy.root / "out.ipynb")]
    environment = {key: value for key, value in toy.environment.items() if not key.startswith("SARCNET_HEADLESS")}
    return subprocess.run(
        [*command, "--cwd", "notebooks", *words], cwd=toy.root, env=environment, capture_output=True, text=True
    )


def in_a_plain_kernel(toy, name="02_three"):
    """Run a notebook as JupyterLab does, and save it."""
    program = f"""
import nbclient, nbformat
notebook = nbformat.read("notebooks/{name}.ipynb", as_version=4)
nbclient.NotebookClient(notebook, kernel_name="python3", resources={{"metadata": {{"path": "notebooks"}}}}).execute()
nbformat.write(notebook, "plain.ipynb")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=toy.root, env=toy.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return toy.root / "plain.ipynb"


@pytest.fixture(scope="module")
def three_ways(tmp_path_factory, build_toy):
    """The same notebook by `sarcnet run` in a forked kernel, by plain papermill and in a plain kernel."""
    toy = build_toy(tmp_path_factory.mktemp("three") / "study")
    toy.write("02_three", KINDS)
    outcome = toy.run()
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    run = toy.root / "run.ipynb"
    executed_path(toy.root / "runs/toy", "02_three").rename(run)
    parent = (toy.stage("02_three") / "parent.txt").read_text()
    outcome = by_papermill(toy, "-p", "run_dir", "runs/toy")
    assert outcome.returncode == 0, outcome.stderr
    return {"run": run, "papermill": toy.root / "out.ipynb", "plain": in_a_plain_kernel(toy), "parent": parent}


def test_a_notebook_shows_the_same_however_it_is_run(three_ways):
    run = kinds(three_ways["run"])
    assert run == kinds(three_ways["papermill"]) == kinds(three_ways["plain"])
    figure, plot, table, widget, _ = run[3:8]
    assert figure == [FIGURE, ("display_data", ("text/markdown", "text/plain"))], "once, in its place"
    assert plot[-1] == ("display_data", ("image/png", "text/plain")), "a figure nobody kept is drawn all the same"
    assert ("stream", "stdout") in table
    assert widget[0][1] == ("application/vnd.jupyter.widget-view+json", "text/plain")


def pictures(path):
    outputs = [output for cell in cells(path) for output in cell.get("outputs", [])]
    return [output for output in outputs if "text/html" in output.get("data", {}) and "image/png" in output["data"]]


@pytest.mark.parametrize("way", ["run", "papermill", "plain"])
def test_html_export_carries_the_caption_and_the_alternative_text(three_ways, way):
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter

    (picture,) = pictures(three_ways[way])
    assert picture["metadata"]["image/png"]["alt"] == CAPTION
    assert Image.open(io.BytesIO(base64.b64decode(picture["data"]["image/png"]))).size == (200, 100)
    page, _ = HTMLExporter().from_filename(str(three_ways[way]))
    images = BeautifulSoup(page, "html.parser").select("img")
    assert [image["alt"] for image in images if image.find_parent("figure")] == [CAPTION]
    assert images[0].find_parent("figure").figcaption.text == CAPTION


def test_a_figure_without_a_caption_is_refused(fresh):
    fresh.write("00_one", 'import matplotlib.pyplot as plt\n\nstage.figure("x", plt.figure(), data=1, caption=" ")')
    assert "A figure has no caption" in fresh.run("--only", "00").stdout


LINKS = """# %% [markdown]
# [before](00_one.ipynb), [next](02_three.ipynb#work), [guide](../docs/guide.md#a), [page](https://example.org/a.ipynb),
# [here](#work)

# %%
"""
REPORT = """from IPython.display import Markdown

stage.output("count.txt").write_text("4")
Markdown("[the guide](../docs/guide.md)")
"""


def targets(path):
    """Relative links in the text of a notebook, then those in its outputs."""
    texts = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown"]
    outputs = [output.get("data", {}) for cell in cells(path) for output in cell.get("outputs", [])]
    return [
        link
        for text in [*texts, *("".join(data.get("text/markdown", "")) for data in outputs)]
        for link in RELATIVE_LINK.findall(text)
    ]


def test_links_lead_to_the_executed_neighbour_or_to_its_source(fresh):
    (fresh.root / "docs").mkdir()
    (fresh.root / "docs" / "guide.md").write_text("# A")
    fresh.write("01_two", LINKS + REPORT)
    assert fresh.run("--upto", "01").returncode == 0
    path = executed_path(fresh.root / "runs/toy", "01_two")
    docs, source = "../../../docs/guide.md", "../../../notebooks/02_three.ipynb"
    assert targets(path) == ["../00_one/00_one.executed.ipynb", source, docs, docs]
    fresh.write("02_three", "")
    assert fresh.run().returncode == 0
    assert targets(path) == ["../00_one/00_one.executed.ipynb", "../02_three/02_three.executed.ipynb", docs, docs]
    assert all((path.parent / link).is_file() for link in targets(path))
    text = "".join("".join(cell["source"]) for cell in cells(path))
    assert "02_three.executed.ipynb#work)" in text
    assert "(https://example.org/a.ipynb)" in text
    assert "(#work)" in text


def test_an_unknown_name_given_to_papermill_is_refused_as_in_a_profile(done):
    toy = done()
    outcome = by_papermill(toy, "-p", "patience", "5", name="00_one")
    assert outcome.returncode != 0
    assert "patience is not a parameter of any notebook; did you mean patients (of 00_one)?" in outcome.stderr
    outcome = by_papermill(toy, "-p", "tile_um", "112.0", "-p", "patients", "5", name="00_one")
    assert outcome.returncode == 0, "another notebook's parameter stands in the same profile: " + outcome.stderr


BROKEN = {
    "no Python": ("rate: float = 0.5 per month", "line 4: invalid syntax; found: rate: float = 0.5 per month"),
    "no literal": ("rate: float = 1 / 2", "line 4; found: rate: float = 1 / 2"),
    "no type": ("rate = 0.5", "line 4; found: rate = 0.5"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_parameters_cell_broken_by_hand_is_named(fresh, fault):
    line, sentence = BROKEN[fault]
    path = fresh.root / "notebooks/00_one.ipynb"
    text = path.read_text()
    assert text.count("rate: float = 0.5  # per month") == 1
    path.write_text(text.replace("rate: float = 0.5  # per month", line))
    outcome = fresh.run()
    assert outcome.returncode == 2
    assert "00_one.ipynb, cell tagged 'parameters'" in outcome.stderr
    assert sentence in outcome.stderr


def test_a_stage_by_hand_stops_when_an_earlier_one_is_stale(done):
    """The first stage is run again by hand with another parameter, then the last one, whose own input is as it was."""
    toy = done()
    toy.write("02_three", 'stage.input("01_two/count.txt")')
    assert by_papermill(toy).returncode == 0, "nothing changed so far"
    assert by_papermill(toy, "-p", "patients", "5", name="00_one").returncode == 0
    reason = "01_two would run again, because its input 00_one/numbers.txt changed"
    assert f"02_three needs 01_two, but {reason}; run notebook 01_two" in by_papermill(toy).stderr
    said = re.search(r"01_two: would run, because (.*)", toy.run(verb="status").stdout)[1]
    assert said in reason
    assert said in toy.run("--only", "02", "--force").stdout
    assert toy.run().returncode == 0
    assert by_papermill(toy).returncode == 0


def test_a_stage_by_hand_stops_when_a_source_of_an_earlier_one_changed(fresh):
    table = fresh.root / "patients.csv"
    table.write_text("a\n")
    fresh.write("00_one", 'stage.source("patients.csv")\nstage.output("numbers.txt").write_text("0 1")')
    fresh.write("02_three", 'stage.input("01_two/count.txt")')
    assert fresh.run().returncode == 0
    assert by_papermill(fresh).returncode == 0
    os.utime(table)
    assert by_papermill(fresh).returncode == 0, "the same text under another time"
    table.write_text("b\n")
    assert "00_one would run again, because patients.csv changed" in by_papermill(fresh).stderr
    table.unlink()
    assert "00_one would run again, because patients.csv cannot be read" in by_papermill(fresh).stderr
