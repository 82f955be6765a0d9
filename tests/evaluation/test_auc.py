"""The AUC at a horizon against its slow form, against scikit-survival, and against what any AUC must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcnet.compendium.faults import SarcnetError
from sarcnet.evaluation.auc import Followup, auc, naive_auc, weighted_auc, weights
from sarcnet.evaluation.oracles import slow_auc

HORIZON = 60.0


def cohort(n: int, *, seed: int, competing: bool = True, rounded: bool = False) -> tuple[np.ndarray, Followup]:
    """Risks (n,) that say something, and the follow-up of n patients at two centres that lose patients differently."""
    rng = np.random.default_rng(seed)
    centre = np.where(rng.random(n) < 0.4, "CLB", "IB")
    risk = rng.normal(size=n)
    metastasis = rng.exponential(90 * np.exp(-risk))
    death = rng.exponential(400, n) if competing else np.full(n, np.inf)
    lost = rng.uniform(np.where(centre == "CLB", 10, 40), 150)
    months = np.minimum(np.minimum(metastasis, death), lost)
    event = np.select([months == metastasis, months == death], [1, 2], 0)
    if rounded:
        months, risk = np.ceil(months / 6) * 6, np.round(risk, 1)
    return risk, Followup(months, event, centre)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 40), rounded=st.booleans())
def test_agrees_with_the_slow_form_with_ties_loss_and_death(seed, n, rounded):
    risk, followup = cohort(n, seed=seed, rounded=rounded)
    try:
        fast = auc(risk, followup, horizon_months=HORIZON)
    except SarcnetError:
        return
    case, control = weights(followup, horizon_months=HORIZON)
    if case.sum() * control.sum() > 0:
        assert fast == pytest.approx(slow_auc(risk, followup, horizon_months=HORIZON), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_survival_when_nobody_dies_of_something_else(seed):
    from sksurv.metrics import cumulative_dynamic_auc
    from sksurv.util import Surv

    risk, followup = cohort(300, seed=seed, competing=False)
    followup = Followup(followup.months, followup.event, np.full(300, "one"))
    outcome = Surv.from_arrays(followup.event == 1, followup.months)
    theirs = cumulative_dynamic_auc(outcome, outcome, risk, [HORIZON])[0][0]
    assert auc(risk, followup, horizon_months=HORIZON) == pytest.approx(theirs, abs=1e-9)


def test_depends_on_the_order_of_risks_only():
    risk, followup = cohort(150, seed=1)
    plain = auc(risk, followup, horizon_months=HORIZON)
    assert auc(np.exp(3 * risk), followup, horizon_months=HORIZON) == pytest.approx(plain)
    assert auc(-risk, followup, horizon_months=HORIZON) == pytest.approx(1 - plain)
    assert auc(np.zeros(150), followup, horizon_months=HORIZON) == 0.5


def test_perfect_order_scores_one():
    followup = Followup(np.array([5.0, 20, 70, 80]), np.array([1, 1, 0, 0]), np.array(["a"] * 4))
    assert auc(np.array([4.0, 3, 2, 1]), followup, horizon_months=HORIZON) == 1.0


def test_death_before_the_horizon_counts_as_no_metastasis():
    followup = Followup(np.array([5.0, 20, 70]), np.array([1, 2, 0]), np.array(["a"] * 3))
    assert auc(np.array([2.0, 3, 1]), followup, horizon_months=HORIZON) == 0.5


def test_weights_recover_what_full_follow_up_would_show():
    """Losing patients with low risk early misleads the naive AUC less than it misleads nobody: compare with the truth."""
    rng = np.random.default_rng(0)
    n = 40_000
    risk = rng.normal(size=n)
    metastasis = rng.exponential(90 * np.exp(-risk))
    centre = np.where(rng.random(n) < 0.5, "CLB", "IB")
    lost = np.where(centre == "CLB", rng.uniform(0, 90, n), 200.0)
    full = Followup(np.minimum(metastasis, 200), (metastasis < 200).astype(int), centre)
    seen = Followup(np.minimum(metastasis, lost), (metastasis <= lost).astype(int), centre)
    truth = auc(risk, full, horizon_months=HORIZON)
    assert auc(risk, seen, horizon_months=HORIZON) == pytest.approx(truth, abs=0.005)
    assert abs(naive_auc(risk, seen, horizon_months=HORIZON) - truth) > abs(
        auc(risk, seen, horizon_months=HORIZON) - truth
    )


def test_weights_of_a_series_watched_for_longer_bias_little():
    """As on the validation series: later patients, watched for less time, weighted by how the training series was lost."""
    rng = np.random.default_rng(5)
    n = 60_000
    risk = rng.normal(size=n)
    metastasis = rng.exponential(90 * np.exp(-risk))
    death = rng.exponential(400, n)
    centre = np.where(rng.random(n) < 0.4, "CLB", "IB")

    def seen(first: float, last: float) -> Followup:
        lost = rng.uniform(first, last, n)
        months = np.minimum(np.minimum(metastasis, death), lost)
        return Followup(months, np.select([months == metastasis, months == death], [1, 2], 0), centre)

    case = ((metastasis <= HORIZON) & (metastasis <= death)).astype(float)[None]
    truth = weighted_auc(risk, case=case, control=1 - case)[0]
    training, later = seen(30, 180), seen(10, 90)
    assert auc(risk, later, horizon_months=HORIZON, fitted=training) == pytest.approx(truth, abs=0.01)
    assert auc(risk, later, horizon_months=HORIZON) == pytest.approx(truth, abs=0.005)


def test_counting_a_patient_twice_is_having_him_twice():
    risk, followup = cohort(60, seed=3)
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=1)
    rows = np.repeat(np.arange(60), counts[0])
    case, control = weights(followup, horizon_months=HORIZON, counts=counts)
    assert weighted_auc(risk, case=case, control=control)[0] == pytest.approx(
        auc(risk[rows], followup.select(rows), horizon_months=HORIZON), abs=1e-9
    )


@pytest.mark.parametrize(
    ("months", "event", "sentence"),
    [
        ([10.0, 70.0], [0, 0], "None of 2 patients had a metastasis by 60 months"),
        ([70.0, 80.0], [1, 0], "None of 2 patients had a metastasis by 60 months"),
        ([10.0, 50.0], [1, 0], "was watched for longer than 60 months (the longest for 50.0)"),
        ([], [], "no patient with a known outcome"),
    ],
)
def test_says_why_there_is_no_auc(months, event, sentence):
    followup = Followup(np.array(months), np.array(event), np.array(["a"] * len(months)))
    with pytest.raises(SarcnetError) as caught:
        auc(np.arange(len(months), dtype=float), followup, horizon_months=HORIZON)
    assert sentence in str(caught.value)


def test_a_missing_risk_is_refused():
    risk, followup = cohort(50, seed=5)
    risk[3] = np.nan
    with pytest.raises(SarcnetError, match="1 of 50 patients have no predicted risk"):
        auc(risk, followup, horizon_months=HORIZON)
