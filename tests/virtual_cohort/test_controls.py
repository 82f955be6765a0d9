"""Control cohorts break exactly the links that they promise to break."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.evaluation.metrics.auc import weighted_auc
from virtual_cohort.cohort import simulate_cohort, slide_orders
from virtual_cohort.patients.controls import CONFOUNDED_STRENGTH, FATE, OUTCOME
from virtual_cohort.patients.pathology import Look

COUNTS = {"IB": {"training": 12_000, "validation": 4_000}}
SHOWN = ["cellularity_per_mm2", "nuclear_area_um2", "anisokaryosis_cv", "mitoses_per_10_hpf", "necrosis_fraction"]


@pytest.fixture(scope="module")
def cohorts():
    names = ("none", "no_signal", "shuffled", "confounded")
    return {name: simulate_cohort(7, counts=COUNTS, control=name)["IB"] for name in names}


def early(patients) -> np.ndarray:
    truth = patients.truth
    return ((truth["metastasis_years"] <= 5) & (truth["metastasis_years"] <= truth["death_years"])).to_numpy()


def auc(score: pd.Series, case: np.ndarray) -> float:
    weights = case.astype(float)[None]
    return float(weighted_auc(score.to_numpy(float), case=weights, control=1 - weights)[0])


@pytest.mark.parametrize("feature", SHOWN)
def test_without_signal_the_slide_says_nothing_and_usually_it_does(cohorts, feature):
    assert auc(cohorts["none"].truth[feature], early(cohorts["none"])) > 0.55
    assert auc(cohorts["no_signal"].truth[feature], early(cohorts["no_signal"])) == pytest.approx(0.5, abs=0.02)


def test_without_signal_clinic_and_outcome_stay(cohorts):
    pd.testing.assert_frame_equal(cohorts["no_signal"].table, cohorts["none"].table)
    pd.testing.assert_frame_equal(cohorts["no_signal"].truth[list(FATE)], cohorts["none"].truth[list(FATE)])


def test_what_a_slide_shows_moves_as_a_whole(cohorts):
    look = list(Look.__dataclass_fields__)
    usual, moved = (
        cohorts[name].truth[look].sort_values(look).reset_index(drop=True) for name in ("none", "no_signal")
    )
    pd.testing.assert_frame_equal(usual, moved)


def test_shuffled_outcomes_follow_nothing_but_the_oracle(cohorts):
    shuffled = cohorts["shuffled"]
    assert auc(cohorts["none"].table["size_mm"].astype(float).fillna(80), early(cohorts["none"])) > 0.55
    assert auc(shuffled.table["size_mm"].astype(float).fillna(80), early(shuffled)) == pytest.approx(0.5, abs=0.02)
    assert auc(shuffled.truth["risk_5y_true"], early(shuffled)) > 0.8
    either = shuffled.truth[["metastasis_years", "death_years"]].min(axis=1) <= 5
    assert auc(shuffled.truth["mfs_risk_5y_true"], either.to_numpy()) > 0.8
    assert sorted(shuffled.table[OUTCOME[0]]) == sorted(cohorts["none"].table[OUTCOME[0]])


@pytest.mark.parametrize("series", ["training", "validation"])
def test_shuffling_stays_within_a_series(cohorts, series):
    tables = [cohorts[name].table for name in ("none", "shuffled")]
    counts = [table.loc[table["series"] == series, list(OUTCOME)].value_counts().sort_index() for table in tables]
    pd.testing.assert_series_equal(*counts)


def test_only_training_slides_of_early_metastases_are_confounded():
    counts = {"CLB": {"training": 60, "validation": 40}}
    cohort = simulate_cohort(7, counts=counts, control="confounded")
    usual = slide_orders(cohort, seed=7, width_um=500, height_um=500)
    orders = slide_orders(cohort, seed=7, width_um=500, height_um=500, control="confounded")
    expected = early(cohort["CLB"]) & (cohort["CLB"].table["series"] == "training").to_numpy()
    assert 10 < expected.sum() < 50
    assert [order.stain_strength for order in orders] == np.where(expected, CONFOUNDED_STRENGTH, 1.0).tolist()
    assert [a.key() != b.key() for a, b in zip(usual, orders, strict=True)] == expected.tolist()
