"""In a real JupyterLab: the panel of rounds of notebook 04, with slider, keys, mouse and the play button, down to the pixels;
and a figure, there once, with its caption and alternative text, run by hand or as an executed notebook.
"""

from __future__ import annotations

import base64
import io
import json

import matplotlib
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sarcnet.federated.analysis.widget import DPI, Rounds

ROUNDS = 4
MIB = 2**20
CELL = """
import pandas as pd
from sarcnet.federated.analysis.widget import Rounds

tables = {name: pd.read_parquet(f"{name}.parquet") for name in ("rounds", "scores", "traffic")}
Rounds.panel(Rounds(**tables, score_name="AUC at 60 months, out of fold", note="simulated data"))
"""
HANDLE, PLAY = ".widget-slider .noUi-handle", ".widget-play button"
TEXT = "document.querySelector('.widget-html-content').textContent"
READOUT = "document.querySelector('.widget-slider .widget-readout').textContent"
IMAGE = """(async () => {
    const image = document.querySelector('img.widget-image');
    await image.decode();
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''));
})()"""

# Pressed by the page itself, since the player goes on while this process waits for its turn.
PAUSE_AT_2 = f"""void (window.paused = false, window.look = setInterval(() => {{
    if ({READOUT} !== '2') return;
    clearInterval(window.look);
    document.querySelector('{PLAY}').click();
    window.paused = true;
}}, 10))"""


@pytest.fixture(scope="module")
def tables():
    """Two hospitals, four rounds: the smaller one's change shrinks, the score rises."""
    names = {"CLB": 45.0, "IB": 75.0}
    rounds = [
        {
            "round": k,
            "hospital": name,
            "patients": n,
            "heldout_loss": 1.9 - 0.05 * k - n / 500,
            "change_norm": n / 10 / k,
        }
        for k in range(1, ROUNDS + 1)
        for name, n in names.items()
    ]
    traffic = [
        {"round": k, "hospital": name, "direction": direction, "bytes": size}
        for k in range(ROUNDS + 2)
        for name in names
        for direction, size in (("to the hospital", MIB), ("from the hospital", MIB // 2))
    ]
    scores = [{"round": k, "patients": 160, "score": 0.6 + 0.05 * k} for k in range(1, ROUNDS + 1)]
    return {"rounds": pd.DataFrame(rounds), "scores": pd.DataFrame(scores), "traffic": pd.DataFrame(traffic)}


@pytest.fixture
def lab(tab, jupyterlab, tables):
    """The notebook, open in JupyterLab and run; the panel stands under its cell."""
    address, folder = jupyterlab
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)], metadata=kernel)
    nbformat.write(notebook, folder / "rounds.ipynb")
    tab.send("Emulation.setFocusEmulationEnabled", enabled=True)  # as the window that a person looks at
    tab.open(f"{address}/doc/tree/rounds.ipynb")
    open_notebook = "[...(window.jupyterapp?.shell?.widgets('main') ?? [])][0]"
    tab.wait(f"{open_notebook}?.sessionContext?.session?.kernel?.status === 'idle'")
    tab.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    tab.wait(f"document.querySelector('.widget-html-content') && {TEXT}.includes('Round 1 of')")
    return tab


def shown(lab) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(lab.evaluate(IMAGE)))) as image:
        return np.asarray(image.convert("RGB"), float)


@pytest.fixture(scope="module")
def pictures(tables) -> dict[int, np.ndarray]:
    """Round → its picture, drawn here."""
    rounds, drawn = Rounds(**tables, score_name="AUC at 60 months, out of fold", note="simulated data"), {}
    for number in range(1, ROUNDS + 1):
        packed = io.BytesIO()
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # as in a new kernel: tests before this one may have set a style
            figure = rounds.draw(number)
            figure.savefig(packed, format="png", dpi=DPI)
        plt.close(figure)
        with Image.open(packed) as image:
            drawn[number] = np.asarray(image.convert("RGB"), float)
    return drawn


def at_round(lab, pictures, number: int) -> None:
    """Readout, words and picture are those of this round, and of no other."""
    lab.wait(f"{TEXT}.includes('Round {number} of {ROUNDS}') && {READOUT} === '{number}'")
    told = lab.evaluate(TEXT)
    assert "simulated data" in told
    assert f"length {4.5 / number:.2f}" in told
    assert f"of 160 patients: {0.6 + 0.05 * number:.3f}" in told
    assert ("since round" in told) == (number > 1)
    picture = shown(lab)
    distances = {k: np.abs(picture - other).mean() for k, other in pictures.items()}
    assert min(distances, key=distances.get) == number, distances
    assert distances[number] < 0.05, distances  # grey levels of 255


def click_track(lab, share: float) -> None:
    """Press on the slider's track, at this share of its length."""
    left, top, width, height = lab.evaluate(
        "(() => { const b = document.querySelector('.widget-slider .noUi-base').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        lab.mouse(kind, left + share * width, top + height / 2, button="left", buttons=1, clickCount=1)


def test_the_panel_shows_the_round_that_is_asked_for(lab, pictures, tmp_path):
    at_round(lab, pictures, 1)

    lab.evaluate(f"document.querySelector('{HANDLE}').focus()")
    lab.press("ArrowRight")
    at_round(lab, pictures, 2)
    lab.press("End")
    at_round(lab, pictures, ROUNDS)
    lab.press("ArrowRight")  # there is nothing behind the last round
    at_round(lab, pictures, ROUNDS)
    lab.press("Home")
    at_round(lab, pictures, 1)
    lab.press("ArrowLeft")
    at_round(lab, pictures, 1)

    click_track(lab, 0.66)
    at_round(lab, pictures, 3)
    click_track(lab, 0.97)
    at_round(lab, pictures, ROUNDS)

    lab.evaluate(PAUSE_AT_2)
    lab.click(PLAY)  # behind the last round it begins anew
    lab.wait("window.paused")
    lab.evaluate("new Promise(done => setTimeout(done, 1000))")
    number = int(lab.evaluate(READOUT))
    assert number < ROUNDS
    at_round(lab, pictures, number)

    wide = (
        "(() => { const e = document.querySelector('.jp-OutputArea-output'); return e.scrollWidth - e.clientWidth; })()"
    )
    assert lab.evaluate(wide) == 0  # nothing to scroll sideways
    lab.picture(tmp_path / "panel.png")
    assert not lab.errors, json.dumps(lab.errors, indent=1)
    assert not [frame for frame in lab.frames if b"Traceback" in frame or b'"msg_type":"error"' in frame]
    assert {request.split("/")[2].split(":")[0] for request in lab.requests if "//" in request} <= {"127.0.0.1", ""}


CAPTION = 'Risk of "all" patients: 3 < 4.'
FIGURE_CELL = f"""
import matplotlib.pyplot as plt
from sarcnet.compendium import figures

figure, ax = plt.subplots(figsize=(3, 2))
ax.plot([1, 2])
figures.show(figure, caption={CAPTION!r})
"""
SEEN = """[...document.querySelectorAll('.jp-OutputArea-output img')].map(image => [
    image.alt, image.naturalWidth, image.closest('figure')?.querySelector('figcaption')?.textContent])"""


@pytest.mark.parametrize("executed", [False, True], ids=["by hand", "executed elsewhere"])
def test_a_figure_is_there_once_with_caption_and_alternative_text(tab, jupyterlab, executed):
    address, folder = jupyterlab
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FIGURE_CELL)], metadata=kernel)
    if executed:  # JupyterLab does not trust it and sanitizes its HTML
        nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    name = f"figure_{executed}.ipynb"
    nbformat.write(notebook, folder / name)
    tab.send("Emulation.setFocusEmulationEnabled", enabled=True)
    tab.open(f"{address}/doc/tree/{name}")
    open_notebook = "[...(window.jupyterapp?.shell?.widgets('main') ?? [])][0]"
    tab.wait(f"{open_notebook}?.sessionContext?.session?.kernel?.status === 'idle'")
    if not executed:
        tab.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    tab.wait(f"{SEEN}.some(image => image[1])")
    assert tab.evaluate(SEEN) == [[CAPTION, 300, CAPTION]]
