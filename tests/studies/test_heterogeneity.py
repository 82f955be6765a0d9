"""Worlds of hospitals that differ: sizes, draws that do not depend on each other, one judged world, the figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.bags import read_bags
from studies.feature_bags import SimulatedSites, make_cohort
from studies.heterogeneity import MODELS, differences, draw_heterogeneity, judge


@pytest.mark.parametrize(
    ("world", "sizes"),
    [
        (SimulatedSites(), [120, 120]),
        (SimulatedSites(hospitals=4), [60, 60, 60, 60]),
        (SimulatedSites(imbalance=0.9), [216, 24]),
        (SimulatedSites(patients=100, hospitals=3, imbalance=0.5), [50, 25, 25]),
    ],
)
def test_sizes(world, sizes):
    assert world.sizes() == sizes


@pytest.mark.parametrize(("settings", "said"), [({"hospitals": 11}, "give 2 to 10"), ({"imbalance": 0.95}, "smallest")])
def test_impossible_worlds_are_refused(settings, said):
    with pytest.raises(SarcnetError, match=said):
        SimulatedSites(**settings)


def tiles(cohort):
    ids = list(cohort.table["patient_id"])
    return read_bags(cohort.features.values(), slides=cohort.slides, patient_ids=ids).features


def test_knobs_do_what_they_say(tmp_path):
    plain = make_cohort(SimulatedSites(patients=80), tmp_path / "a", seed=1)
    again = make_cohort(SimulatedSites(patients=80), tmp_path / "b", seed=1)
    pd.testing.assert_frame_equal(plain.table, again.table)
    np.testing.assert_array_equal(tiles(plain), tiles(again))
    stained = make_cohort(SimulatedSites(patients=80, stain=3.0), tmp_path / "c", seed=1)
    pd.testing.assert_frame_equal(plain.table, stained.table)  # a stain changes no patient
    constant = (tiles(stained) - tiles(plain)).reshape(2, -1, tiles(plain).shape[1])
    np.testing.assert_allclose(constant.std(axis=1), 0, atol=1e-4)
    assert np.abs(constant[0].mean(axis=0) - constant[1].mean(axis=0)).max() > 1
    mixed = make_cohort(SimulatedSites(patients=80, case_mix=3.0), tmp_path / "d", seed=1)
    events = mixed.table.groupby("centre")["mfs_event"].mean()
    assert events["H01"] > events["H00"] + 0.2


def test_a_world_is_judged_the_same_twice_and_the_figure_shows_it(tmp_path):
    world = SimulatedSites(patients=60)
    first, again = (judge(world, tmp_path / name, rounds=1, local_epochs=1, seed=3) for name in ("one", "two"))
    assert first == again
    assert set(first) == set(MODELS)
    rows = [
        {"knob": "stain", "value": v, "cohort": 0, "model": m, "auc": a} for v in (0.0, 2.0) for m, a in first.items()
    ]
    fig = draw_heterogeneity(pd.DataFrame(rows), patients=60)
    assert "Simulated" in fig.get_suptitle()
    assert fig.axes[0].get_xlabel() == "stain shift of two hospitals,\nSD of a feature's noise"
    assert len(fig.axes[0].containers) == len(MODELS)
    plt.close(fig)


def test_differences_are_paired_by_cohort():
    """Two cohorts of very different difficulty: the difference is sure where the AUC is not."""
    pooled, federated = (0.6, 0.9), (0.61, 0.93)
    rows = [
        {"knob": "stain", "value": 0.0, "cohort": i, "model": model, "auc": areas[i]}
        for model, areas in (("pooled", pooled), ("fedavg", federated))
        for i in range(2)
    ]
    found = differences(pd.DataFrame(rows)).set_index("model").loc["fedavg"]
    assert found["auc"] == pytest.approx(0.77)
    assert found["difference"] == pytest.approx(0.02)
    half = 12.7062 * np.std([0.01, 0.03], ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom, 97.5 %
    assert found["high"] - found["difference"] == pytest.approx(half, rel=1e-4)
