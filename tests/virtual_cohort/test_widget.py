"""The panel paints what its sliders say, and gives way to a sentence where nobody can move them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown
from PIL import Image

from virtual_cohort import widget as module
from virtual_cohort.rendering.knobs import STEPS, field, hot_spot, medium_look

VALUES = pd.DataFrame(
    {
        "cellularity_per_mm2": [1600.0, 2900.0, 5300.0],
        "nuclear_area_um2": [45.0, 72.0, 115.0],
        "anisokaryosis_cv": [0.25, 0.43, 0.65],
        "hyperchromasia": [0.75, 1.0, 1.3],
        "mitoses_per_10_hpf": [4.0, 20.0, 85.0],
        "necrosis_fraction": [0.0, 0.1, 0.6],
    },
    index=STEPS,
)


@pytest.fixture
def panel(monkeypatch):
    monkeypatch.delenv("SARCNET_HEADLESS", raising=False)
    monkeypatch.setattr(module, "SIDE_UM", 60.0)
    return module.Panel(VALUES, seed=7)


def shown(panel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.picture.value)))


def test_moving_a_slider_paints_that_tumour(panel):
    before = shown(panel)
    panel.sliders["cellularity_per_mm2"].value = 5300.0
    panel.histotype.value = "leiomyosarcoma"
    panel.centre.value = "IB"
    medium = medium_look(VALUES, histotype=1)
    expected = field(replace(medium, cellularity_per_mm2=5300.0), centre="IB", seed=7, side_um=60.0)
    assert np.array_equal(shown(panel), expected)
    assert before.shape != expected.shape or not np.array_equal(before, expected)
    assert "simulated leiomyosarcoma, IB" in panel.caption.value


def test_sliders_span_the_cohort_and_say_their_unit(panel):
    for name, slider in panel.sliders.items():
        assert (slider.min, slider.max) == (VALUES.loc["low", name], VALUES.loc["high", name])
        assert slider.tooltip
    assert panel.sliders["necrosis_fraction"].value == 0


def test_without_anybody_to_move_them_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(module, "headless", lambda: True)
    assert isinstance(module.knob_panel(VALUES, seed=7), Markdown)
    monkeypatch.setattr(module, "headless", lambda: False)
    assert not isinstance(module.knob_panel(VALUES, seed=7), Markdown)


def test_mitoses_are_looked_for_where_there_are_most():
    spots = [(100.0, 100.0), (300.0, 310.0), (330.0, 300.0), (340.0, 330.0), (310.0, 340.0)]
    nuclei = pd.DataFrame(spots, columns=["x_um", "y_um"]).assign(**{"class": "mitosis"})
    nuclei.loc[5] = (110.0, 90.0, "tumour")
    x, y = hot_spot(nuclei, side_um=200.0)
    inside = (nuclei["x_um"].sub(x).abs() < 100) & (nuclei["y_um"].sub(y).abs() < 100) & (nuclei["class"] == "mitosis")
    assert inside.sum() == 4
    assert 120 <= min(x, y) <= max(x, y) <= 360, "the field stays on a slide of 480 µm"
    assert hot_spot(nuclei.iloc[5:], side_um=200.0) == (240.0, 240.0)
