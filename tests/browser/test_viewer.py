"""The viewer in a real browser: it shows, moves, comes nearer, colours and tells, in a page and in a notebook's frame."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sarcnet.interpret.export.pages import page_frame, write_page
from sarcnet.interpret.export.viewer import make_page
from sarcnet.morphometry.geometry import TileGeometry

FIRST_PICTURE_MS = 2000
RED, BLUE = (250, 140, 60), (60, 90, 200)


@pytest.fixture
def page(tmp_path, write_slide):
    """A green slide of 1000 × 600 px with one tile that raises the score and one that lowers it."""
    pixels = np.full((600, 1000, 3), (120, 200, 120), np.uint8)
    file = write_slide("s.tif", pixels, mpp=0.5)
    tiles = pd.DataFrame(
        {"tile": [4, 9], "x_px": [100.0, 600.0], "y_px": [100.0, 300.0], "contribution": [0.5, -0.1],
         "nuclear_area_um2": [63.0, np.nan]}
    )  # fmt: skip
    return make_page(
        tiles, file=file, geometry=TileGeometry(0.5, 112.0, 224), limit=0.5, title="P1", note="Simulated data",
        columns={"nuclear_area_um2": "nuclear area (µm²)"}, bytes_max=400_000,
    )  # fmt: skip


def ready(tab):
    tab.wait("firstPicture !== null")
    tab.wait("!asked && [...pictures.values()].every(image => image.complete)")


def at(tab, x: float, y: float) -> tuple[float, float]:
    """Where a level-0 pixel lies in the window."""
    return tuple(
        tab.evaluate(
            f"(() => {{ const b = canvas.getBoundingClientRect();"
            f" return [b.left + ({x} - view.x) * view.zoom, b.top + ({y} - view.y) * view.zoom]; }})()"
        )
    )


def colour(tab, x: float, y: float) -> np.ndarray:
    """Colour on the screen over a level-0 pixel, after the next drawing."""
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    px, py = at(tab, x, y)
    with Image.open(io.BytesIO(tab.picture())) as image:
        return np.array(image.convert("RGB").getpixel((round(px), round(py))), float)


def slide_to(tab, name: str, value: float) -> None:
    tab.evaluate(f"(() => {{ const s = $('{name}'); s.value = {value}; s.dispatchEvent(new Event('input')); }})()")


def test_the_viewer_shows_moves_colours_and_tells(tab, page, tmp_path):
    tab.open(write_page(tmp_path / "viewer.html", page))
    ready(tab)
    assert tab.evaluate("firstPicture") <= FIRST_PICTURE_MS
    assert tab.evaluate("$('note').textContent") == "Simulated data"
    plain, raised, lowered = colour(tab, 450, 50), colour(tab, 200, 200), colour(tab, 700, 400)
    assert plain == pytest.approx((120, 200, 120), abs=6)
    assert raised[0] - raised[1] > plain[0] - plain[1]
    assert raised[1] < plain[1]
    assert lowered[2] - lowered[0] > plain[2] - plain[0]

    slide_to(tab, "opacity", 0)
    assert colour(tab, 200, 200) == pytest.approx(plain, abs=6)
    slide_to(tab, "opacity", 1)
    strong = colour(tab, 200, 200)
    assert strong == pytest.approx(tab.evaluate("D.shades[D.shades.length - 1]"), abs=3)
    slide_to(tab, "threshold", 0.6)  # 0.36 of the largest: hides -0.1
    assert tab.evaluate("$('thresholdOut').textContent") == "0.18 (1 tiles)"
    assert colour(tab, 700, 400) == pytest.approx(plain, abs=6)
    assert colour(tab, 200, 200) == pytest.approx(strong, abs=3)

    tab.mouse("mouseMoved", *at(tab, 200, 200))
    tab.wait("chosen === 0")
    told = tab.evaluate("[...$('info').querySelectorAll('td')].map(cell => cell.textContent)")
    assert told == ["tile", "4", "contribution (log-odds)", "+0.500", "nuclear area (µm²)", "63"]
    tab.mouse("mouseMoved", *at(tab, 700, 400))
    tab.wait("chosen === 1")
    assert tab.evaluate("$('info').textContent").endswith("nuclear area (µm²)–")
    tab.mouse("mouseMoved", *at(tab, 450, 50))
    tab.wait("chosen === -1 && $('info').hidden")

    before = tab.evaluate("({...view})")
    fixed = at(tab, 200, 200)
    for _ in range(4):
        tab.mouse("mouseWheel", *fixed, deltaX=0, deltaY=-120)
    tab.wait(f"view.zoom > {2 * before['zoom']}")
    assert at(tab, 200, 200) == pytest.approx(fixed, abs=1)  # the place under the pointer stays under it
    tab.mouse("mousePressed", *fixed, button="left", buttons=1)
    tab.mouse("mouseMoved", fixed[0] + 60, fixed[1] + 40, button="left", buttons=1)
    tab.mouse("mouseReleased", fixed[0] + 60, fixed[1] + 40, button="left")
    assert at(tab, 200, 200) == pytest.approx((fixed[0] + 60, fixed[1] + 40), abs=1)
    bar_um, bar_px = float(tab.evaluate("parseFloat($('barText').textContent)")), tab.evaluate("$('bar').offsetWidth")
    assert bar_px / tab.evaluate("view.zoom") * 0.5 == pytest.approx(bar_um, rel=0.02)
    tab.click("#fit")
    assert tab.evaluate("view.zoom") == pytest.approx(before["zoom"])
    tab.press("+")
    assert tab.evaluate("view.zoom") > before["zoom"] * 1.2
    assert not tab.errors
    assert {address.partition(":")[0] for address in tab.requests} <= {"file", "data"}


def test_the_frame_works_inside_another_page(tab, page, tmp_path):
    """As in a notebook, live or exported: the page around stays as it is."""
    around = f"<!DOCTYPE html><body><p id=canvas>text</p>{page_frame(page, title='viewer', height_px=500).data}</body>"
    path = tmp_path / "exported.html"
    path.write_text(around, encoding="utf-8")
    tab.open(path)
    tab.wait("document.querySelector('iframe').contentDocument.getElementById('title').textContent === 'P1'")
    drawn = (
        "(() => { const c = document.querySelector('iframe').contentDocument.querySelector('#stage canvas');"
        " const d = c.getContext('2d').getImageData(c.width / 2, 20, 1, 1).data; return d[1] > 150 && d[3] === 255; })()"
    )
    tab.wait(drawn)
    assert tab.evaluate("document.getElementById('canvas').textContent") == "text"
    assert not tab.errors
