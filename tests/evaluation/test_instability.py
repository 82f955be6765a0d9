"""The spread of a patient's risks over networks, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.evaluation.sensitivity.instability import instability_table


def test_spread_and_changes_of_group_by_hand():
    risks = np.array([[0.2, 0.4], [0.45, 0.65], [0.8, 0.8]])  # means 0.3, 0.55, 0.8
    row = instability_table({("validation", "network"): risks}, cut_off=0.5).loc[("validation", "network")]
    assert row["patients"] == 3
    assert row["networks per patient"] == 2
    assert row["mean absolute deviation"] == pytest.approx(0.2 / 3)
    assert row["share changing risk group"] == pytest.approx(1 / 3)


def test_networks_that_agree_have_no_spread_and_one_network_has_no_row():
    same = np.repeat(np.linspace(0.1, 0.9, 9)[:, None], 4, axis=1)
    table = instability_table({("cv", "network"): same, ("cv", "grade"): same[:, :1]}, cut_off=0.5)
    assert list(table.index) == [("cv", "network")]
    assert table["mean absolute deviation"].iloc[0] == 0
    assert table["share changing risk group"].iloc[0] == 0
