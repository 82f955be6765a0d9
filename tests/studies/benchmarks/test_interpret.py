"""The measurement is sound: the slide has the tiles it claims, each on its place, and a missing browser is said."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sarcnet.model.predict import contributions, predict_scores
from studies.benchmarks import interpret


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return interpret.giant(tmp_path_factory.mktemp("bench"), tiles=1000, feature_dim=8)


def test_every_tile_of_the_giant_has_a_place_of_its_own(slide):
    where = slide.patient.bags.tiles
    assert len(where) == 1000
    assert not where.duplicated(["x_px", "y_px"]).any()
    with Image.open(slide.file) as image:
        side = slide.geometry.size_px
        assert where["x_px"].max() + side <= image.width
        assert where["y_px"].max() + side <= image.height


def test_the_map_shows_the_contributions_that_predict(slide, tmp_path):
    model = interpret.random_model(feature_dim=8)
    tiles = interpret.draw_map(model, slide, to=tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000
    score = predict_scores(model.network, slide.patient).mean()
    clinic = contributions(model, slide.patient).clinical["contribution"].sum()
    assert tiles["contribution"].sum() + clinic == pytest.approx(score, abs=1e-4)


def test_rows_and_a_missing_browser(monkeypatch):
    monkeypatch.setattr(interpret, "browser", lambda: None)
    monkeypatch.setattr(interpret, "tiles_per_second", lambda **_: 39.9)
    table = interpret.measure(tiles=200, feature_dim=4)
    assert table["met"].tolist()[0] is False
    assert table["what"].iloc[-1].startswith("viewer: no browser found")
    assert np.isnan(table["value"].iloc[-1])
    assert (table["value"].iloc[:-1] > 0).all()
