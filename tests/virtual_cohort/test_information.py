"""What could be known at best: more is never less, the oracle is the ceiling, and simple cases come out exactly."""

from __future__ import annotations

import numpy as np
import pytest

from virtual_cohort.patients.calibration import mass_patients
from virtual_cohort.patients.information import ORACLE, SOURCES, best_auc_by_source, expected_auc


@pytest.fixture(scope="module")
def best():
    return best_auc_by_source(mass_patients(n=16_000, seed=3), seed=3)


def test_expected_auc_is_the_double_sum_over_pairs():
    rng = np.random.default_rng(0)
    score, risk = rng.integers(0, 5, 40).astype(float), rng.random(40)
    above = (score[:, None] > score) + 0.5 * (score[:, None] == score)
    pairs = risk[:, None] * (1 - risk)
    assert expected_auc(score, risk=risk) == pytest.approx((pairs * above).sum() / pairs.sum())


def test_more_information_is_never_worse(best):
    value, error = best["AUC at 5 years"], best["error"].max()
    assert list(best.index) == [*SOURCES, ORACLE]
    assert value["grade alone"] < value["clinical variables alone"] - 2 * error
    assert value["clinical variables alone"] < value["clinical variables and true pathology"] - 2 * error
    assert value["true pathology alone"] < value["clinical variables and true pathology"] - 2 * error
    assert value["clinical variables and true pathology"] <= value[ORACLE] + error


def test_the_best_use_of_the_grade_is_the_grade(best):
    patients = mass_patients(n=16_000, seed=3)
    grade = patients.table["fnclcc_grade"].to_numpy(float)
    risk = patients.truth["risk_5y_true"].to_numpy()
    assert best.loc["grade alone", "AUC at 5 years"] == pytest.approx(expected_auc(grade, risk=risk), abs=0.01)
