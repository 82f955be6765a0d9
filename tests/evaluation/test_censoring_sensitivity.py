"""Weights from a model of censoring remove the bias that weights by hospital leave when patients at risk are lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.sensitivity.censoring import censoring_sensitivity

HORIZON = 60.0


def patients(n: int, *, seed: int, dependence: float) -> tuple[np.ndarray, Followup, Followup]:
    """True risks, follow-up with censoring that depends on the risk, and the follow-up had nobody been lost."""
    rng = np.random.default_rng(seed)
    centre = np.where(rng.random(n) < 0.4, "CLB", "IB")
    score = rng.normal(size=n)
    rate = np.exp(score) / 90
    metastasis = rng.exponential(1 / rate)
    leaving = rng.exponential(70 / np.exp(dependence * score))
    full = np.minimum(metastasis, 200.0)
    everybody = Followup(full, (metastasis < 200).astype(int), centre)
    months = np.minimum(full, leaving)
    seen = Followup(months, ((metastasis <= leaving) & (metastasis < 200)).astype(int), centre)
    return 1 - np.exp(-rate * HORIZON), seen, everybody


def test_bias_from_losing_patients_at_high_risk_is_removed():
    risk, seen, everybody = patients(8000, seed=3, dependence=1.0)
    truth = brier(risk, everybody, horizon_months=HORIZON)
    by_hospital = brier(risk, seen, horizon_months=HORIZON)
    modelled = censoring_sensitivity(
        risk, seen, pd.DataFrame({"risk": np.log(-np.log1p(-risk))}), horizon_months=HORIZON
    )
    assert abs(by_hospital - truth) > 0.012
    assert abs(modelled["Brier score"] - truth) < 0.006
    assert modelled["sum of weights / n"] == pytest.approx(1, abs=0.05)


def test_with_independent_loss_both_agree():
    risk, seen, _ = patients(4000, seed=4, dependence=0.0)
    modelled = censoring_sensitivity(risk, seen, pd.DataFrame({"risk": risk}), horizon_months=HORIZON)
    assert modelled["Brier score"] == pytest.approx(brier(risk, seen, horizon_months=HORIZON), abs=0.005)


def test_a_missing_covariate_is_filled_and_a_constant_one_left_out():
    risk, seen, _ = patients(300, seed=5, dependence=0.0)
    gaps = pd.DataFrame({"age": np.where(np.arange(300) % 7, 60.0 + np.arange(300) % 20, np.nan), "grade": 3.0})
    assert np.isfinite(censoring_sensitivity(risk, seen, gaps, horizon_months=HORIZON)["AUC"])


def test_a_grade_has_an_auc_and_no_brier_score():
    risk, seen, _ = patients(300, seed=6, dependence=0.0)
    found = censoring_sensitivity(np.round(1 + 2 * risk), seen, pd.DataFrame({"risk": risk}), horizon_months=HORIZON)
    assert np.isnan(found["Brier score"])
    assert 0.5 < found["AUC"] < 1


def test_without_censoring_it_says_so():
    risk, _, everybody = patients(100, seed=7, dependence=0.0)
    whole = Followup(everybody.months, np.ones(100, int), everybody.centre)
    whole.months[0] = 100.0
    with pytest.raises(SarcnetError, match="Nobody is censored"):
        censoring_sensitivity(risk, whole, pd.DataFrame({"risk": risk}), horizon_months=HORIZON)
