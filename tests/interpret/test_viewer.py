"""The viewer's page: what is in it, how large it may grow, and what takes its place where nobody sits before it."""

from __future__ import annotations

import base64
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.export import viewer
from sarcnet.interpret.export.heatmap import HeatMap, make_heatmap
from sarcnet.interpret.export.pages import page_frame
from sarcnet.interpret.export.picture_pyramid import SIDE_PX, build_pyramid
from sarcnet.interpret.export.qupath import SlideExport
from sarcnet.morphometry.geometry import TileGeometry

GEOMETRY = TileGeometry(0.5, 112.0, 224)


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*)</script>', page)[1])


@pytest.fixture
def slide(write_slide, stained):
    return write_slide("s.tif", stained(896, 1344, tissue=(100, 100, 800, 1200)), mpp=0.5)


def tiles_of(count: int = 12) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=count)
    return pd.DataFrame(
        {"tile": np.arange(count), "x_px": 224.0 * (np.arange(count) % 6), "y_px": 224.0 * (np.arange(count) // 6),
         "contribution": values, "nuclear_area_um2": 40 + values, "status": "measured"}
    )  # fmt: skip


def make(slide, tiles, **changes):
    settings = {"geometry": GEOMETRY, "limit": 2.0, "title": "P1", "note": "Simulated data"}
    return viewer.make_page(tiles, file=slide, **(settings | changes))


def test_the_pyramid_shows_the_slide_at_every_level(slide):
    made = build_pyramid(slide, mpp=0.5, bytes_max=3_000_000)
    assert made.finest_mpp == 0.5
    assert [level.scale for level in made.levels] == [8, 4, 2, 1]
    finest = made.levels[-1]
    assert (finest.width, finest.height) == (1344, 896)
    assert (len(finest.urls), len(finest.urls[0])) == (-(-896 // SIDE_PX), -(-1344 // SIDE_PX))
    for level in made.levels:
        first = np.asarray(Image.open(io.BytesIO(base64.b64decode(level.urls[0][0].partition(",")[2]))))
        glass, tissue = (
            first[int(50 / level.scale), int(50 / level.scale)],
            first[int(180 / level.scale)][int(180 / level.scale)],
        )
        assert np.abs(glass.astype(int) - 244).max() < 12
        assert tissue[1] < 190
    assert made.bytes == sum(len(url) for level in made.levels for row in level.urls for url in row)


@pytest.mark.parametrize("bytes_max", [200_000, 90_000, 30_000])
def test_the_picture_gets_coarser_until_it_fits(slide, bytes_max):
    made = build_pyramid(slide, mpp=0.5, bytes_max=bytes_max)
    assert made.bytes <= bytes_max
    assert made.finest_mpp > 0.5


def test_the_page_holds_tiles_numbers_and_marks_and_keeps_to_its_size(slide):
    tiles = tiles_of()
    tiles.loc[3, "nuclear_area_um2"] = np.nan
    columns = {"nuclear_area_um2": "nuclear area (µm²)", "status": "nuclei", "elsewhere": "not there"}
    page = make(slide, tiles, columns=columns, bytes_max=300_000)
    assert len(page.encode()) <= 300_000
    data = data_of(page)
    assert data["columns"] == ["tile", "contribution (log-odds)", "nuclear area (µm²)", "nuclei"]
    assert (data["note"], data["absent"], data["side"], data["width"]) == ("Simulated data", 0, 224, 1344)
    order = tiles["contribution"].abs().sort_values(ascending=False).index
    assert [row[2] for row in data["tiles"]] == tiles.loc[order, "tile"].tolist()
    for row, (_, tile) in zip(data["tiles"], tiles.loc[order].iterrows(), strict=True):
        assert row[:2] == [tile["x_px"], tile["y_px"]]
        assert row[3] == pytest.approx(tile["contribution"], rel=0.005)
        assert row[5] == "measured"
    assert [row[4] for row in data["tiles"] if row[2] == 3] == [None]
    assert "http" not in page.replace("http-equiv", "")


def test_too_many_tiles_are_left_out_by_size_and_counted(slide):
    tiles = pd.concat([tiles_of(12).assign(contribution=1e-3 * k + 1e-5) for k in range(400)], ignore_index=True)
    page = make(slide, tiles, bytes_max=150_000)
    data = data_of(page)
    assert len(page.encode()) <= 150_000
    assert data["absent"] == len(tiles) - len(data["tiles"]) > 0
    assert min(row[3] for row in data["tiles"]) >= tiles["contribution"].nlargest(len(data["tiles"])).min() * 0.99


def test_a_page_without_tiles_or_with_tiles_nowhere_is_refused(slide):
    with pytest.raises(SarcnetError, match="needs tiles, each with x_px, y_px, contribution"):
        make(slide, tiles_of().iloc[:0])
    tiles = tiles_of()
    tiles.loc[2, "y_px"] = np.nan
    with pytest.raises(SarcnetError, match="each with y_px: run 06"):
        make(slide, tiles)


def test_titles_cannot_break_out_of_script_or_frame(slide):
    page = make(slide, tiles_of(), title='</script><b>"x"</b>')
    assert "</script><b>" not in page
    frame = page_frame(page, title="x").data
    assert frame.count('"') == 2 * len(re.findall(r' (?:srcdoc|height|style|title)="', frame))
    assert len(frame.encode()) < 1_500_000


def test_a_figure_takes_the_place_of_the_viewer_where_nobody_looks(slide, tmp_path, monkeypatch):
    shown, drawn = [], []
    monkeypatch.setattr(viewer, "display", shown.append)
    monkeypatch.setattr(viewer.figures, "show", lambda figure, caption: drawn.append((figure, caption)))
    tiles = tiles_of().assign(slide_id="s")
    heatmap = make_heatmap(tiles, file=slide, geometry=GEOMETRY, title="P1\nrisk 20%")
    exported = SlideExport(heatmap, tiles, {}, slide, GEOMETRY)
    for watched in (False, True):
        monkeypatch.setattr(viewer, "somebody_watches", lambda watched=watched: watched)
        viewer.show_viewer(tmp_path / "viewer.html", exported, note="Simulated data")
    [(figure, caption)] = drawn
    assert caption.startswith("P1, risk 20%: contribution of each tile")
    assert caption.endswith("Simulated data.")
    assert len(figure.axes) == 2
    plt.close(figure)
    assert shown[0].data.startswith("<iframe srcdoc=")
    data = data_of((tmp_path / "viewer.html").read_text(encoding="utf-8"))
    assert (data["title"], data["limit"], len(data["tiles"])) == ("P1, risk 20%", heatmap.limit, 12)
    assert data["columns"][2:] == ["nuclei are", "mean nuclear area (µm²)"]


def test_the_static_picture_has_the_colours_of_the_map_and_its_units():
    values = np.full((60, 90), np.nan)
    values[:30, :30] = 1.0
    heatmap = HeatMap("s", "P1", np.full((60, 90, 3), 230, np.uint8), 4.0, values, 1.0)
    figure = viewer.static_picture(heatmap, note="Simulated data")
    assert [text.get_text() for text in figure.texts] == ["Simulated data"]
    slide, bar = figure.axes
    assert slide.get_title() == "P1"
    assert bar.get_ylabel() == "contribution of a tile (log-odds)"
    assert [text.get_text() for text in slide.texts] == ["50 µm"]
    assert np.ptp(slide.lines[0].get_xdata()) * heatmap.mpp == pytest.approx(50)
    drawn = slide.images[1].get_array()
    assert drawn[0, 0, 3] > 0 == drawn[50, 80, 3]
    plt.close(figure)
