"""Differences in net benefit, and the sentences about them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.evaluation.clinical_value.decisions import gains_readable, gains_text
from sarcnet.evaluation.metrics.bootstrap import resample_counts
from sarcnet.evaluation.metrics.net_benefit import ALL, NONE, benefit_differences, decision_curve

THRESHOLDS = [0.3, 0.5]
COMMON = {"horizon_months": 60.0, "thresholds": THRESHOLDS, "level": 0.95}


@pytest.fixture(scope="module")
def found(cohort) -> tuple[pd.DataFrame, pd.DataFrame]:
    risk, followup = cohort(300, seed=5)
    counts = resample_counts(followup.centre, samples=200, rng=np.random.default_rng(1))
    noise = np.random.default_rng(2).permutation(risk)
    risks = {"good": risk, "noise": noise}
    pairs = [("good", "noise"), ("noise", "good"), ("good", ALL), ("good", NONE), ("good", "absent")]
    gaps = benefit_differences(risks, followup, pairs=pairs, counts=counts, **COMMON)
    return gaps, decision_curve(risks, followup, counts=counts, **COMMON)


def test_a_difference_is_that_of_the_two_curves_and_changes_sign(found):
    gaps, curve = found
    benefit = curve.set_index(["model", "threshold"])["benefit"]
    by_pair = gaps.set_index(["model", "other", "threshold"])
    for threshold in THRESHOLDS:
        expected = benefit["good", threshold] - benefit["noise", threshold]
        row, mirror = by_pair.loc[("good", "noise", threshold)], by_pair.loc[("noise", "good", threshold)]
        assert row["difference"] == pytest.approx(expected)
        assert (mirror["low"], mirror["high"]) == pytest.approx((-row["high"], -row["low"]))
        assert by_pair.loc[("good", NONE, threshold), "difference"] == pytest.approx(benefit["good", threshold])
    assert "absent" not in set(gaps["other"])


def test_the_sentence_follows_the_intervals():
    rows = [
        ("validation", 0.3, "m", "clinical_only", 0.05, 0.01, 0.09),
        ("validation", 0.5, "m", "clinical_only", 0.0, -0.1, 0.1),
    ]
    gains = pd.DataFrame(rows, columns=["series", "threshold", "model", "other", "difference", "low", "high"]).assign(
        note=""
    )
    assert "is higher at 30%" in gains_text(gains, level=0.95)
    turned = gains.assign(difference=-gains["difference"], low=-gains["high"], high=-gains["low"])
    assert "is lower at 30%" in gains_text(turned, level=0.95)
    assert "neither shown" in gains_text(gains.iloc[1:], level=0.95)
    assert gains_text(gains.iloc[:0], level=0.95) == "No net benefit could be computed."
    assert gains_readable(gains).iloc[0, 0] == "+0.050 (+0.010 to +0.090)"
