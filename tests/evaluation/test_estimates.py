"""Every interval holds its estimate, none comes from too few patients, and P says what the interval says."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.auc import Followup
from sarcnet.evaluation.bootstrap import LEAST, Estimate, Resampled, percentile_interval, resample_auc, too_few

HORIZON = 60.0


def two_scores(n: int, *, seed: int) -> tuple[dict[str, np.ndarray], Followup]:
    """Two scores of equal quality and the follow-up of n patients at two hospitals."""
    generator = np.random.default_rng(seed)
    frailty = generator.normal(size=n)
    metastasis = generator.exponential(70 * np.exp(-frailty))
    death, lost = generator.exponential(400, n), generator.uniform(20, 150, n)
    months = np.minimum(np.minimum(metastasis, death), lost)
    event = np.select([months == metastasis, months == death], [1, 2], 0)
    scores = {name: (frailty + generator.normal(0, 1.2, n))[:, None] for name in ("one", "two")}
    return scores, Followup(months, event, np.where(np.arange(n) % 3 == 0, "CLB", "IB"))


def compared(n: int, *, seed: int, samples: int = 400, level: float = 0.95) -> Resampled:
    scores, followup = two_scores(n, seed=seed)
    return resample_auc(
        scores, followup, horizon_months=HORIZON, samples=samples, level=level, rng=rng(seed, "estimates")
    )


def test_p_is_below_5_percent_exactly_where_the_95_percent_interval_excludes_0():
    excluded = 0
    for seed in range(300):
        gap = compared(90, seed=seed).difference("one", "two")
        outside = gap.low > 0 or gap.high < 0
        excluded += outside
        assert outside == (gap.p < 0.05), f"data set {seed}: {gap}, P = {gap.p}"
    assert 3 <= excluded <= 40, "the test must see both kinds of data set"


def test_p_is_the_level_at_which_the_interval_begins_to_include_0():
    found = compared(150, seed=11, samples=2000)
    gap = found.difference("one", "two")
    assert 0.01 < gap.p < 0.9
    for step, outside in ((-0.003, True), (0.003, False)):
        other = Resampled(
            found.point, found.draws, 1 - gap.p + step, found.without, found.strata, found.cases, found.controls
        )
        again = other.difference("one", "two")
        assert (again.low > 0 or again.high < 0) == outside


def test_p_of_a_bootstrap_is_never_0():
    found = Resampled({"a": 0.9, "b": 0.5}, {"a": np.full(99, 0.9) + np.arange(99) / 1e4, "b": np.full(99, 0.5)}, 0.95)
    assert found.difference("a", "b").p == pytest.approx(2 / 100)


def test_few_cases_or_controls_give_counts_in_place_of_an_interval():
    followup = Followup(np.r_[np.full(8, 20.0), np.full(30, 90.0)], np.r_[np.ones(8, int), np.zeros(30, int)],
                        np.full(38, "IB"))  # fmt: skip
    risk = np.r_[np.linspace(0.6, 0.9, 8), np.linspace(0.1, 0.5, 30)][:, None]
    found = resample_auc(
        {"a": risk, "b": -risk}, followup, horizon_months=HORIZON, samples=200, level=0.95, rng=rng(1, "few")
    )
    assert str(found.estimate("a")) == "1.000 (8 cases, 30 controls: too few for an interval)"
    gap = found.difference("a", "b")
    assert np.isnan([gap.low, gap.high, gap.p]).all()
    assert gap.signed == "+1.000 (8 cases, 30 controls: too few for an interval)"
    assert gap.bounds == {}


@pytest.mark.parametrize(("cases", "controls", "few"), [(LEAST, LEAST, False), (LEAST - 1, 99, True), (99, 9, True)])
def test_ten_of_each_are_needed(cases, controls, few):
    assert bool(too_few(cases, controls)) == few


def test_resamples_without_spread_give_no_interval():
    followup = Followup(np.r_[np.full(20, 20.0), np.full(20, 90.0)], np.r_[np.ones(20, int), np.zeros(20, int)],
                        np.full(40, "IB"))  # fmt: skip
    risk = np.r_[np.linspace(0.6, 0.9, 20), np.linspace(0.1, 0.5, 20)][:, None]
    found = resample_auc(
        {"a": risk}, followup, horizon_months=HORIZON, samples=200, level=0.95, rng=rng(1, "apart")
    ).estimate("a")
    assert np.isnan(found.low)
    assert str(found) == "1.000 (the same in all resamples: no interval)"


@pytest.mark.parametrize("n", [12, 25, 40, 80])
def test_intervals_of_auc_and_difference_hold_the_estimate(n):
    for seed in range(40):
        try:
            found = compared(n, seed=1000 + seed, samples=60)
        except Exception:
            continue
        for made in (found.estimate("one"), found.difference("one", "two")):
            if np.isnan(made.low):
                assert made.note
            else:
                assert made.low <= made.value <= made.high
                assert made.low < made.high


def test_an_interval_is_widened_to_hold_a_biased_estimate():
    draws = np.linspace(0.07, 0.12, 200)
    assert percentile_interval(0.062, draws, tails=(0.025, 0.975))[0] == 0.062
    assert str(Estimate(0.5, 0.4, 0.6)) == "0.500 (0.400 to 0.600)"
