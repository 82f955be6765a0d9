"""Every metric against its slow form, against a library that has it, and against what it must say of known cases."""

from __future__ import annotations

import numpy as np
import oracles
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index
from oracles import accuracy_index

from sarcnet.cohort.incidence import at, curve, incidence_at, pseudo_values, standardised
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import Followup, weights
from sarcnet.evaluation.metrics.bootstrap import resample_counts
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.calibration import by_group, calibrate, line, smooth, smoother
from sarcnet.evaluation.metrics.concordance import concordance
from sarcnet.evaluation.metrics.gray import gray_test
from sarcnet.evaluation.metrics.net_benefit import ALL, NONE, at_threshold, decision_curve, threshold_table
from sarcnet.evaluation.metrics.over_time import brier_table
from sarcnet.evaluation.predictions import EvaluationSet

HORIZON = 60.0


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("competing", [False, True])
def test_incidence_agrees_with_its_slow_form(cohort, competing, rounded):
    _, followup = cohort(50, seed=1, rounded=rounded)
    for month in (12.0, 60.0, 100.0):
        fast = incidence_at(followup, horizon_months=month, competing=competing)[0]
        slow = oracles.slow_incidence(followup, month=month, competing=competing)
        assert fast == pytest.approx(slow, abs=1e-12)
        assert at(curve(followup, competing=competing), month)["risk"] == pytest.approx(slow, abs=1e-12)


def test_incidence_and_its_bounds_agree_with_lifelines(cohort):
    _, followup = cohort(150, seed=2)
    table = curve(followup, competing=True)
    theirs = AalenJohansenFitter(seed=0).fit(followup.months, followup.event, event_of_interest=1)
    own, other = at(table, HORIZON), theirs.cumulative_density_.loc[:HORIZON].iloc[-1, 0]
    assert own["risk"] == pytest.approx(other, abs=1e-9)
    bounds = theirs.confidence_interval_.loc[:HORIZON].iloc[-1].to_numpy()
    assert sorted((own["low"], own["high"])) == pytest.approx(sorted(bounds), abs=0.01)
    kaplan = KaplanMeierFitter().fit(followup.months, followup.event == 1)
    assert at(curve(followup, competing=False), HORIZON)["risk"] == pytest.approx(1 - kaplan.predict(HORIZON), abs=1e-9)


def test_ignoring_that_people_die_never_lowers_the_incidence(cohort):
    _, followup = cohort(300, seed=3)
    net, lived = (curve(followup, competing=flag)["risk"].to_numpy() for flag in (False, True))
    assert (net >= lived - 1e-12).all()
    assert net[-1] > lived[-1] + 0.01


def test_pseudo_values_are_outcomes_when_nobody_is_lost(cohort):
    _, followup = cohort(80, seed=4, lost=False)
    outcome = (followup.event == 1) & (followup.months <= HORIZON)
    assert np.allclose(pseudo_values(followup, horizon_months=HORIZON, competing=True), outcome, atol=1e-9)


def test_a_resample_is_the_same_as_repeating_patients(cohort):
    _, followup = cohort(60, seed=5)
    counts = resample_counts(followup.centre, samples=1, rng=rng(1, "t"))
    repeated = followup.select(np.repeat(np.arange(60), counts[0]))
    fast = incidence_at(followup, horizon_months=HORIZON, competing=True, counts=counts)[0]
    assert fast == pytest.approx(incidence_at(repeated, horizon_months=HORIZON, competing=True)[0], abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_concordance_agrees_with_its_slow_form(cohort, weighted, rounded):
    risk, followup = cohort(40, seed=6, rounded=rounded)
    fast = concordance(np.round(risk, 1), followup, upto_months=HORIZON, weighted=weighted)
    slow = oracles.slow_concordance(np.round(risk, 1), followup, upto_months=HORIZON, weighted=weighted)
    assert fast == pytest.approx(slow, abs=1e-12)


def test_concordance_agrees_with_lifelines_and_scikit_survival_without_deaths(cohort):
    from sksurv.metrics import concordance_index_ipcw
    from sksurv.util import Surv

    risk, followup = cohort(150, seed=7, competing=False, centres=1)
    harrell = concordance(risk, followup, upto_months=np.inf, weighted=False)
    assert harrell == pytest.approx(concordance_index(followup.months, -risk, followup.event), abs=1e-9)
    outcome = Surv.from_arrays(followup.event == 1, followup.months)
    theirs = concordance_index_ipcw(outcome, outcome, risk, tau=HORIZON)[0]
    assert concordance(risk, followup, upto_months=HORIZON, weighted=True) == pytest.approx(theirs, abs=1e-9)


def test_brier_agrees_with_its_slow_form_and_scikit_survival(cohort):
    from sksurv.metrics import brier_score
    from sksurv.util import Surv

    risk, followup = cohort(60, seed=8)
    slow = oracles.slow_brier(risk, followup, horizon_months=HORIZON)
    assert brier(risk, followup, horizon_months=HORIZON) == pytest.approx(slow, abs=1e-12)
    risk, followup = cohort(200, seed=8, competing=False, centres=1)
    outcome = Surv.from_arrays(followup.event == 1, followup.months)
    theirs = brier_score(outcome, outcome, (1 - risk)[:, None], [HORIZON])[1][0]
    assert brier(risk, followup, horizon_months=HORIZON) == pytest.approx(theirs, abs=1e-9)


def test_brier_knows_the_useless_and_the_perfect(cohort):
    risk, followup = cohort(400, seed=9, lost=False)
    outcome = ((followup.event == 1) & (followup.months <= HORIZON)).astype(float)
    assert brier(outcome, followup, horizon_months=HORIZON) == pytest.approx(0)
    assert accuracy_index(outcome, followup, horizon_months=HORIZON) == pytest.approx(1)
    same = np.full(400, outcome.mean())
    assert accuracy_index(same, followup, horizon_months=HORIZON) == pytest.approx(0, abs=1e-9)
    assert 0 < accuracy_index(risk, followup, horizon_months=HORIZON) < 1


def test_brier_in_time_judges_each_model_s_own_risk_at_each_month(cohort):
    """The true risk by 12 months of a hazard that falls is no power of that by 60; judged as it is, it is the best there is."""
    generator = np.random.default_rng(10)
    n, months = 20_000, [12.0, 36.0, 60.0]
    frail = np.exp(generator.normal(0, 1.2, n))  # log-logistic times: groups do not keep their ratio of hazards

    def risk_by(month: float) -> np.ndarray:
        return 1 - 1 / (1 + frail * (month / 90) ** 1.2)

    metastasis = 90 * (generator.exponential(1, n) / generator.exponential(1, n) / frail) ** (1 / 1.2)
    leaving = generator.uniform(20, 150, n)
    followup = Followup(np.minimum(metastasis, leaving), (metastasis <= leaving).astype(int), np.full(n, "one"))
    patients = pd.DataFrame({"patient_id": [f"P{i}" for i in range(n)], "centre": "one"})
    patients = patients.assign(mfs_months=followup.months, mfs_event=followup.event)
    risks = pd.concat(
        [patients[["patient_id"]].assign(model="m", months=month, risk=risk_by(month)) for month in months]
    )
    series = EvaluationSet("s", patients, {"m": risk_by(60.0)[:, None]})
    table = brier_table(series, risks, models=["m", "absent"], log=FailureLog()).set_index("months")
    for month in months:
        truth = np.mean(((metastasis <= month) - risk_by(month)) ** 2)
        assert table.loc[month, "brier"] == pytest.approx(truth, abs=0.005)
        assert table.loc[month, "brier"] < table.loc[month, "same"]
    assert table["brier"].min() < table["integrated"].iloc[0] < table["brier"].max()
    log = FailureLog()
    early = risks.assign(months=risks["months"] / 1e6)
    assert brier_table(series, early, models=["m"], log=log).empty
    assert "s, Brier score at 1.2e-05 months: None of 20000 patients had the event" in log.summary_text()


def test_pseudo_values_of_hospitals_that_watch_and_fare_differently_are_not_pooled():
    """With equal risks within a hospital, the mean of the pseudo-values is the true incidence; pooled it is too low."""
    generator = np.random.default_rng(11)
    n = 3000
    centre = np.where(np.arange(n) % 2, "CLB", "IB")
    metastasis = generator.exponential(np.where(centre == "CLB", 60.0, 200.0))
    leaving = generator.uniform(0, np.where(centre == "CLB", 70.0, 200.0))
    followup = Followup(np.minimum(metastasis, leaving), (metastasis <= leaving).astype(int), centre)
    truth = np.mean(metastasis <= HORIZON)
    found = pseudo_values(followup, horizon_months=HORIZON, competing=True)
    pooled = pseudo_values(
        Followup(followup.months, followup.event, np.full(n, "one")), horizon_months=HORIZON, competing=True
    )
    assert found.mean() == pytest.approx(truth, abs=0.02)
    assert pooled.mean() < truth - 0.03
    risk, low, high = standardised(followup, horizon_months=HORIZON, competing=True, level=0.95)
    assert risk == pytest.approx(found.mean(), abs=1e-3)
    assert low < truth < high
    groups = by_group(generator.uniform(size=n), followup, horizon_months=HORIZON, groups=2, competing=True, level=0.95)
    assert groups["observed"].mean() == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_thresholds_agree_with_their_slow_form(cohort, threshold):
    risk, followup = cohort(70, seed=11)
    table = threshold_table(
        risk, followup, horizon_months=HORIZON, thresholds=[threshold], counts=np.ones((3, 70)), level=0.95
    ).set_index("measure")["value"]
    called = (risk >= threshold).astype(float)
    cases, controls = oracles.slow_sums(np.ones(70), followup, horizon_months=HORIZON)
    true, false = oracles.slow_sums(called, followup, horizon_months=HORIZON)
    assert table["sensitivity"] == pytest.approx(true / cases)
    assert table["specificity"] == pytest.approx(1 - false / controls)
    assert table["PPV"] == pytest.approx(true / (true + false))
    assert table["NPV"] == pytest.approx((controls - false) / (controls - false + cases - true))
    slow = oracles.slow_net_benefit(risk, followup, horizon_months=HORIZON, threshold=threshold)
    assert table["net benefit"] == pytest.approx(slow)


def test_counting_by_hand_when_nobody_is_lost():
    followup = Followup(np.array([10.0, 20, 70, 80, 30]), np.array([1, 1, 0, 0, 2]), np.array(["a"] * 5))
    case, control = weights(followup, horizon_months=HORIZON)
    risk = np.array([0.9, 0.2, 0.8, 0.1, 0.3])
    found = at_threshold(risk, case=case[0], control=control[0], threshold=0.5, level=0.95)
    assert {name: made.value for name, made in found.items()} == pytest.approx(
        {"sensitivity": 1 / 2, "specificity": 2 / 3, "PPV": 1 / 2, "NPV": 2 / 3, "called high risk": 2 / 5}
    )


def test_treating_all_gains_what_aalen_and_johansen_say(cohort):
    risk, followup = cohort(250, seed=12, centres=1)
    counts = resample_counts(followup.centre, samples=50, rng=rng(2, "t"))
    found = decision_curve(
        {"m": risk}, followup, horizon_months=HORIZON, thresholds=[0.1, 0.3], counts=counts, level=0.95
    ).set_index(["model", "threshold"])
    share = incidence_at(followup, horizon_months=HORIZON, competing=True)[0]
    assert found.loc[(ALL, 0.3), "benefit"] == pytest.approx(share - 0.3 / 0.7 * (1 - share), abs=0.01)
    assert found.loc[(NONE, 0.3), "benefit"] == 0
    assert found.loc[("m", 0.3), "benefit"] > max(found.loc[(ALL, 0.3), "benefit"], 0)
    assert (found["low"] <= found["benefit"]).all()
    assert (found["benefit"] <= found["high"]).all()


def test_true_risks_lie_on_the_calibration_line_and_bold_ones_do_not(cohort):
    risk, followup = cohort(1500, seed=19)
    counts = resample_counts(followup.centre, samples=100, rng=rng(3, "t"))
    setting = {"horizon_months": HORIZON, "level": 0.95, "counts": counts}
    good = calibrate(risk, followup, competing=False, **setting)
    assert good.slope.low < 1 < good.slope.high
    assert good.intercept.low < 0 < good.intercept.high
    assert good.ici.value < 0.03
    bold = calibrate(1 - (1 - risk) ** (2 * risk), followup, competing=False, **setting)
    assert bold.slope.high < 1
    assert bold.ici.low > good.ici.value
    lived = calibrate(risk, followup, competing=True, **setting)
    assert lived.intercept.high < 0, "with deaths competing, fewer live to have a metastasis than the risk says"
    assert lived.observed < good.observed


def test_calibration_line_of_exact_probabilities_is_exact():
    risk = np.linspace(0.05, 0.9, 60)
    loglog = np.log(-np.log1p(-risk))
    observed = 1 - np.exp(-np.exp(0.7 * loglog))
    assert line(risk, observed, slope=True, level=0.95).value == pytest.approx(0.7, abs=1e-6)
    shifted = 1 - np.exp(-np.exp(0.4 + loglog))
    assert line(risk, shifted, slope=False, level=0.95).value == pytest.approx(0.4, abs=1e-6)


def test_local_lines_agree_with_least_squares_and_keep_a_line():
    generator = np.random.default_rng(1)
    risk, grid = generator.uniform(0.1, 0.9, 40), np.array([0.2, 0.5, 0.7])
    noisy = np.clip(risk + generator.normal(0, 0.05, 40), 0, 1)
    kernel = smoother(risk, grid)
    ones = np.ones((1, 40))
    fast = smooth(risk, noisy, at_risk=grid, kernel=kernel, counts=ones)[0]
    assert fast == pytest.approx([oracles.slow_local_line(risk, noisy, at=x, span=0.75) for x in grid], abs=1e-9)
    straight = smooth(risk, 0.1 + 0.5 * risk, at_risk=grid, kernel=kernel, counts=ones)[0]
    assert straight == pytest.approx(0.1 + 0.5 * grid)


def test_groups_of_predicted_risk_hold_everybody_once(cohort):
    risk, followup = cohort(200, seed=14)
    table = by_group(risk, followup, horizon_months=HORIZON, groups=4, competing=True, level=0.95)
    assert table["n"].tolist() == [50] * 4
    assert table["predicted"].is_monotonic_increasing
    assert ((table["low"] < table["observed"]) & (table["observed"] < table["high"])).all()


def test_gray_s_score_is_the_slow_one_and_the_log_rank_s_without_deaths(cohort):
    _, followup = cohort(60, seed=15, rounded=True)
    group = np.where(np.arange(60) % 3 == 0, "a", "b")
    found = gray_test(followup.months, followup.event, group)
    slow = oracles.slow_gray_score(followup.months, followup.event, group)
    assert found.score[0] == pytest.approx(slow, abs=1e-9)
    for seed in range(4):
        _, followup = cohort(300, seed=seed, competing=False)
        own = np.arange(300) % 2 == 0
        found = gray_test(followup.months, followup.event, own)
        theirs = logrank_test(
            *np.split(followup.months[np.argsort(~own, kind="stable")], 2),
            *np.split(followup.event[np.argsort(~own, kind="stable")] == 1, 2),
        )
        assert found.statistic == pytest.approx(theirs.test_statistic, rel=0.05)


def test_gray_s_test_keeps_its_level_where_the_log_rank_test_does_not(cohort):
    """Deaths ten times as frequent in one group change no hazard of metastasis, but how many live to have one."""
    generator = np.random.default_rng(5)
    rejected = {"same": 0, "other": 0}
    for _ in range(300):
        group = np.repeat(["a", "b"], 60)
        metastasis, leaving = generator.exponential(80, 120), generator.uniform(20, 150, 120)
        for name, ratio in (("same", 1.0), ("other", 10.0)):
            death = generator.exponential(200 / np.where(group == "a", ratio, 1.0))
            months = np.minimum(np.minimum(metastasis, death), leaving)
            event = np.select([months == metastasis, months == death], [1, 2], 0)
            rejected[name] += gray_test(months, event, group).p < 0.05
    assert 0.02 <= rejected["same"] / 300 <= 0.085
    assert rejected["other"] > 200


def test_gray_s_test_of_three_groups_does_not_depend_on_their_order(cohort):
    _, followup = cohort(120, seed=17)
    group = np.array(["a", "b", "c"])[np.arange(120) % 3]
    other = pd.Series(group).map({"a": "z", "b": "y", "c": "x"}).to_numpy()
    one, two = (gray_test(followup.months, followup.event, names) for names in (group, other))
    assert one.freedom == 2
    assert one.statistic == pytest.approx(two.statistic)
    assert one.score.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("months", "event", "group", "sentence"),
    [
        ([1.0, 2], [1, 1], ["a", "a"], "needs two groups"),
        ([1.0, 2], [0, 2], ["a", "b"], "none of 2 patients had the event"),
    ],
)
def test_gray_s_test_says_why_it_cannot_be_made(months, event, group, sentence):
    with pytest.raises(SarcnetError, match=sentence):
        gray_test(np.array(months), np.array(event), np.array(group))


def test_a_grade_is_no_probability(cohort):
    _, followup = cohort(50, seed=18)
    with pytest.raises(SarcnetError, match="50 of 50 risks are no probabilities, the first of them 3"):
        brier(np.full(50, 3.0), followup, horizon_months=HORIZON)


def test_equal_risks_have_no_calibration_line(cohort):
    _, followup = cohort(50, seed=18)
    with pytest.raises(SarcnetError, match="1 different risks: a calibration line needs three"):
        calibrate(
            np.full(50, 0.4), followup, horizon_months=HORIZON, competing=True, level=0.95, counts=np.ones((5, 50))
        )
