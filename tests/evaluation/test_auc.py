"""The AUC at a horizon against its slow form, against scikit-survival, and against what any AUC must do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow_auc

from sarcnet.cohort.outcome import not_followed
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import Followup, auc, auc_of, effective_number, naive_auc, weighted_auc, weights
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.over_time import weight_table

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
    judged = followup.is_judged(HORIZON)
    assert fast == pytest.approx(slow_auc(risk[judged], followup.select(judged), horizon_months=HORIZON), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), rounded=st.booleans())
def test_the_weights_of_the_patients_judged_add_up_to_their_number(seed, n, rounded):
    _, followup = cohort(n, seed=seed, rounded=rounded)
    counts = np.vstack([np.ones(n, int), np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4)])
    case, control = weights(followup, horizon_months=HORIZON, counts=counts)
    for row, counted in zip(case + control, counts, strict=True):
        drawn = followup.select(np.repeat(np.arange(n), counted))
        assert row.sum() == pytest.approx(drawn.is_judged(HORIZON).sum())


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


def world(n: int, *, seed: int, lost: dict[str, tuple[float, float]]) -> tuple[np.ndarray, Followup, np.ndarray]:
    """True risks (n,), follow-up, and who truly has a metastasis by the horizon (n,); CLB has more of them than IB.

    lost: by centre between which months patients are lost, all alike likely.
    """
    rng = np.random.default_rng(seed)
    centre = np.where(rng.random(n) < 0.4, "CLB", "IB")
    hazard, dying = np.exp(rng.normal(size=n)) / np.where(centre == "CLB", 60, 110), 1 / 400
    metastasis, death = rng.exponential(1 / hazard), rng.exponential(1 / dying, n)
    leaving = rng.uniform(*(np.where(centre == "CLB", lost["CLB"][end], lost["IB"][end]) for end in (0, 1)))
    months = np.minimum(np.minimum(metastasis, death), leaving)
    event = np.select([months == metastasis, months == death], [1, 2], 0)
    truly = (metastasis <= HORIZON) & (metastasis <= death)
    risk = hazard / (hazard + dying) * -np.expm1(-(hazard + dying) * HORIZON)
    return risk, Followup(months, event, centre), truly


def test_a_series_is_weighted_by_its_own_censoring_and_not_by_the_training_series():
    """20,000 later patients who were watched for less time than the training series."""
    _, training, _ = world(20_000, seed=1, lost={"CLB": (40, 180), "IB": (60, 180)})
    risk, later, truly = world(20_000, seed=2, lost={"CLB": (5, 70), "IB": (15, 90)})
    truth = float(((truly - risk) ** 2).mean())
    assert brier(risk, later, horizon_months=HORIZON) == pytest.approx(truth, abs=0.004)
    area = weighted_auc(risk, case=truly[None].astype(float), control=1.0 - truly[None])[0]
    assert auc(risk, later, horizon_months=HORIZON) == pytest.approx(area, abs=0.007)
    case, control = weights(later, horizon_months=HORIZON, fitted=training)
    assert (case + control).sum() < 0.7 * len(later), "the training series' weights do not make up for the lost"
    assert float((case @ (1 - risk) ** 2 + control @ risk**2)[0]) / len(later) < 0.7 * truth


def exported_at(followup: Followup, month: float, *, centre: str) -> Followup:
    """Follow-up when one centre's data were frozen at `month` after each patient's diagnosis."""
    after = (followup.centre == centre) & (followup.months >= month)
    return Followup(np.where(after, month, followup.months), np.where(after, 0, followup.event), followup.centre)


def test_a_hospital_whose_export_ends_at_the_horizon_gives_controls():
    risk, full, truly = world(20_000, seed=3, lost={"CLB": (60.001, 180), "IB": (60.001, 180)})
    seen = exported_at(full, HORIZON, centre="CLB")
    hospital = (full.centre == "CLB").astype(float)
    for score in (hospital, risk):
        area = weighted_auc(score, case=truly[None].astype(float), control=1.0 - truly[None])[0]
        assert auc(score, seen, horizon_months=HORIZON) == pytest.approx(area, abs=1e-12)
        assert naive_auc(score, seen, horizon_months=HORIZON) == pytest.approx(area, abs=1e-12)


def test_a_hospital_not_followed_to_the_horizon_leaves_both_sides():
    """Its cases against the other hospital's controls would flatter whatever tells the hospitals apart."""
    risk, full, _ = world(20_000, seed=4, lost={"CLB": (20, 120), "IB": (20, 120)})
    seen = exported_at(full, 50.0, centre="CLB")
    hospital, there = (full.centre == "CLB").astype(float), full.centre == "IB"
    case, control = weights(seen, horizon_months=HORIZON)
    assert not (case + control)[0, ~there].any()
    assert auc(hospital, seen, horizon_months=HORIZON) == 0.5
    alone = auc(risk[there], full.select(there), horizon_months=HORIZON)
    assert auc(risk, seen, horizon_months=HORIZON) == pytest.approx(alone)
    assert brier(risk, seen, horizon_months=HORIZON) == pytest.approx(
        brier(risk[there], full.select(there), horizon_months=HORIZON)
    )
    (sentence,) = not_followed(seen, horizon_months=HORIZON)
    assert f"CLB was not followed to 60 months: none of its {(~there).sum()} patients" in sentence
    assert f"{seen.is_case(HORIZON).sum() - seen.select(there).is_case(HORIZON).sum()} with the event" in sentence
    assert "longest follow-up is 50.0 months" in sentence
    assert not_followed(full, horizon_months=HORIZON) == []


def test_a_table_s_auc_is_a_number_or_nan_with_each_reason_said_once():
    risk, full, _ = world(300, seed=5, lost={"CLB": (20, 120), "IB": (20, 120)})
    seen = exported_at(full, 50.0, centre="CLB")
    columns = {"risk": risk, "mfs_months": seen.months, "mfs_event": seen.event, "centre": seen.centre}
    table, log = pd.DataFrame(columns), FailureLog()
    there = table["centre"] == "IB"
    alone = auc_of(table[there], horizon_months=HORIZON, log=log)
    assert log.summary_text() == FailureLog().summary_text()
    assert auc_of(table, horizon_months=HORIZON, log=log) == alone
    assert np.isnan(auc_of(table[~there], horizon_months=HORIZON, log=log))
    assert log.summary_text().count("CLB was not followed") == 1
    assert np.isnan(auc_of(table[there].assign(mfs_event=0), horizon_months=HORIZON, log=log))
    assert "had the event" in log.summary_text()


def test_each_patient_is_case_control_or_lost():
    months = np.array([59.0, 60, 61, 59, 60, 61, 59, 60, 61])
    followup = Followup(months, np.repeat([0, 1, 2], 3), np.full(9, "a"))
    assert followup.is_lost(HORIZON).tolist() == [True] + [False] * 8
    assert np.flatnonzero(followup.is_case(HORIZON)).tolist() == [3, 4]
    assert np.flatnonzero(followup.is_free(HORIZON)).tolist() == [1, 2, 5, 8]
    assert np.flatnonzero(followup.is_control(HORIZON)).tolist() == [1, 2, 5, 6, 7, 8]


def test_the_weights_table_counts_and_says_how_few_stand_for_many():
    followup = Followup(np.array([10.0, 20, 30, 70, 80]), np.array([1, 0, 0, 0, 1]), np.array(["a"] * 5))
    row = weight_table({"s": followup}, horizon_months=HORIZON).loc["s"]
    counted = row[["patients", "judged", "cases", "controls", "lost"]].astype(int).tolist()
    assert counted == [5, 5, 1, 2, 2]
    assert (row["effective cases"], row["effective controls"], row["sum of weights"]) == (1.0, 2.0, 1.0)
    uneven = np.array([[3.0, 1, 0]])
    assert effective_number(uneven)[0] == pytest.approx(16 / 10)


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
        ([10.0, 70.0], [0, 0], "None of 2 patients had the event by 60 months"),
        ([70.0, 80.0], [1, 0], "None of 2 patients had the event by 60 months"),
        (
            [10.0, 50.0],
            [1, 0],
            "a was not followed to 60 months: none of its 2 patients (1 with the event, 1 lost before)",
        ),
        ([10.0, 50.0], [1, 1], "None of 2 patients is known to have been free of it by 60 months"),
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
