"""Figures that notebook 06 draws itself speak of variables and patterns in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sarcnet.interpret.figures import draw_forest, label_forest
from sarcnet.model.clinical import CATEGORIES, NUMERIC
from sarcnet.model.names import variable_words
from sarcnet.morphometry.measure import MEASURES

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "06_interpretability.py"


def test_the_figure_of_the_clinical_half_names_variables_in_words():
    names = [*NUMERIC, *CATEGORIES]
    parts = pd.DataFrame(
        {"patient_id": "A", "variable": names * 2, "contribution": np.linspace(-0.2, 0.2, 2 * len(names))}
    )
    drawn: dict[str, object] = {}
    stage = SimpleNamespace(figure=lambda name, figure, **record: drawn.update({name: figure}))
    explained = SimpleNamespace(clinical=parts, patients=pd.DataFrame({"patient_id": ["A"]}))
    cells = [cell.source for cell in jupytext.read(NOTEBOOK).cells if cell.cell_type == "code"]
    (source,) = [cell for cell in cells if '"F12_clinical"' in cell]
    exec(source, {"plt": plt, "np": np, "variable_words": variable_words, "stage": stage, "explained": explained})
    labels = [text.get_text() for text in drawn["F12_clinical"].axes[0].get_yticklabels()]
    assert sorted(labels) == sorted(variable_words(name) for name in names)
    assert not [text for text in labels if "_" in text or "=" in text]
    plt.close("all")


def test_a_forest_names_its_rows_in_words_and_leaves_out_what_is_unknown():
    table = pd.DataFrame(
        {
            "pattern": ["nuclear_area_um2", "chromatin_od", "mitosis"],
            "effect": [0.5, np.nan, 9.0],
            "low": 0.1,
            "high": 0.9,
        }
    )
    rows = ["chromatin_od", "nuclear_area_um2"]
    _, ax = plt.subplots()
    draw_forest(ax, table, rows=rows, colour="C0", offset=0.1, label="measured")
    label_forest([ax], rows, level=0.9)
    (points,) = [line for line in ax.lines if line.get_label() == "measured"]
    assert points.get_xydata().tolist() == [[0.5, 1.1]]
    (interval,) = ax.collections[0].get_segments()
    assert interval.tolist() == [[0.1, 1.1], [0.9, 1.1]]
    assert [text.get_text().split("\n")[0] for text in ax.get_yticklabels()] == [MEASURES[name][0] for name in rows]
    assert "90% interval" in ax.get_xlabel()
    plt.close("all")
