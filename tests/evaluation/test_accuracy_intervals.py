"""Intervals of C, Brier score and prediction accuracy: the values are those of the plain functions, and lie inside."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from oracles import accuracy_index

from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.concordance import concordance, resampled_concordance
from sarcnet.evaluation.metrics.over_time import accuracy_intervals
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet

RESAMPLING = Resampling(samples=200, level=0.95, seed=3)


@pytest.fixture
def judged(cohort) -> EvaluationSet:
    risk, followup = cohort(150, seed=8)
    patients = pd.DataFrame(
        {
            "patient_id": np.arange(150),
            "centre": followup.centre,
            "mfs_months": followup.months,
            "mfs_event": followup.event,
        }
    )
    two = np.column_stack([risk, np.clip(risk + np.random.default_rng(1).normal(0, 0.1, 150), 0, 1)])
    return EvaluationSet("cross-validation", patients, {"sarcnet_fedavg": two, "fnclcc_grade": np.round(1 + 2 * two)})


def test_values_are_those_of_the_plain_functions_and_lie_in_their_intervals(judged):
    table = accuracy_intervals(judged, horizon_months=60.0, resampling=RESAMPLING)
    risks, at = judged.risks["sarcnet_fedavg"].T, judged.followup
    expected = {
        "Uno's C": np.mean([concordance(r, at, upto_months=60.0, weighted=True) for r in risks]),
        "Brier score": np.mean([brier(r, at, horizon_months=60.0) for r in risks]),
        "prediction accuracy": np.mean([accuracy_index(r, at, horizon_months=60.0) for r in risks]),
    }
    for name, value in expected.items():
        point, low, high = map(float, re.findall(r"-?\d\.\d+", table.iloc[0][name]))
        assert point == pytest.approx(value, abs=0.0006)
        assert low < point < high
    assert table.iloc[1]["Brier score"] == ""
    assert table.iloc[1]["Uno's C"]
    assert not RESAMPLING.log.failures


def test_a_resample_of_the_concordance_is_that_of_the_drawn_patients_without_censoring(cohort):
    risk, followup = cohort(80, seed=9, lost=False)
    counts = np.random.default_rng(2).multinomial(80, np.full(80, 1 / 80), size=3)
    found = resampled_concordance(risk[:, None], followup, counts=counts, upto_months=60.0, weighted=True)
    for row, value in zip(counts, found, strict=True):
        drawn = np.repeat(np.arange(80), row)
        assert value == pytest.approx(
            concordance(risk[drawn], followup.select(drawn), upto_months=60.0, weighted=True), abs=1e-12
        )
