"""Every interval holds its estimate, none comes from too few patients, and P says what the interval says."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import Followup, effective_number
from sarcnet.evaluation.metrics.bootstrap import (
    LEAST,
    Estimate,
    Resampled,
    percentile_interval,
    resample_auc,
    resample_counts,
    too_few,
)
from sarcnet.evaluation.metrics.calibration import calibrate
from sarcnet.evaluation.metrics.delong import delong
from sarcnet.evaluation.metrics.net_benefit import at_threshold, threshold_table
from sarcnet.evaluation.metrics.proportions import wilson
from sarcnet.evaluation.metrics.reclassification import moves
from virtual_cohort.experiments.headroom.share import share_of_headroom

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
    assert str(found) == "1.000 (no spread in the resamples: no interval)"


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


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.7, 50, 0.5625, 0.8090)]
)
def test_wilson_s_interval_is_the_textbook_s(share, n, low, high):
    """Against binomtest(...).proportion_ci(method="wilson") of SciPy."""
    found = wilson(share, n, level=0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_patients_of_unequal_weight_count_as_fewer():
    assert effective_number(np.array([1.0, 1, 1, 0])) == pytest.approx(3)
    assert effective_number(np.array([3.0, 1, 1, 1])) == pytest.approx(36 / 12)


def test_sensitivity_of_1_has_an_interval_with_a_width():
    found = at_threshold(
        np.array([0.9, 0.8, 0.7, 0.2]), case=np.array([1.0, 1, 1, 0]), control=np.array([0.0, 0, 0, 1]), threshold=0.5,
        level=0.95,
    )  # fmt: skip
    assert found["sensitivity"].value == 1
    assert found["sensitivity"].low == pytest.approx(0.4385, abs=1e-4)
    assert found["sensitivity"].high == 1


def estimates(risk: np.ndarray, followup: Followup, *, seed: int) -> dict[str, Estimate]:
    """What every function that gives an estimate with an interval says of one small data set; impossible ones are left out."""
    log, generator = FailureLog(), np.random.default_rng(seed)
    counts = resample_counts(followup.centre, samples=50, rng=generator)
    setting = {"horizon_months": HORIZON, "level": 0.95}
    noisy = np.clip(risk + generator.normal(0, 0.2, len(risk)), 0.01, 0.99)
    found: dict[str, Estimate] = {}
    risks = {"a": risk[:, None], "b": noisy[:, None], "oracle": np.sqrt(risk)[:, None]}
    resampled = log("auc", resample_auc, risks, followup, samples=50, rng=generator, **setting)
    if resampled is not None:
        found["auc"], found["difference"] = resampled.estimate("a"), resampled.difference("a", "b")
        found["percentile"] = resampled.estimate("a", method="percentile")
        found["minus"] = resampled.minus(resampled, model="a")
        found["share"] = share_of_headroom(resampled, model="a", base="b", oracle="oracle")
    for competing in (True, False):
        made = log("calibration", calibrate, risk, followup, competing=competing, counts=counts, **setting)
        if made is not None:
            found |= {f"{name}, {competing}": getattr(made, name) for name in ("intercept", "slope", "ici")}
    moved = log("moves", moves, noisy > 0.5, risk > 0.5, followup, **setting)
    if moved is not None:
        found["moved, cases"], found["moved, controls"] = moved.cases, moved.controls
    for name, other in (("DeLong", None), ("DeLong, difference", noisy)):
        made = log("DeLong", delong, risk, followup, other=other, **setting)
        if made is not None:
            found[name] = made
    table = log("thresholds", threshold_table, risk, followup, thresholds=[0.2, 0.6], counts=counts, **setting)
    if table is not None:
        rows = table.itertuples()
        found |= {f"{r.measure}, {r.threshold}": Estimate(r.value, r.low, r.high, note=r.note) for r in rows}
    return found


@pytest.mark.parametrize("n", [6, 13, 24, 45, 70])
def test_no_estimate_lies_outside_its_interval_and_no_interval_has_no_width(n):
    seen = set()
    for seed in range(40):
        generator = np.random.default_rng(10_000 * n + seed)
        rate = np.exp(generator.normal(size=n)) / 90
        metastasis, lost = generator.exponential(1 / rate), generator.uniform(10, 150, n)
        death = generator.exponential(300, n)
        months = np.minimum(np.minimum(metastasis, death), lost)
        event = np.select([months == metastasis, months == death], [1, 2], 0)
        risk = 1 - np.exp(-rate * HORIZON)
        if seed % 4 == 0:  # groups that are told apart without error
            risk = np.where((event == 1) & (months <= HORIZON), 0.7, 0.1) + np.linspace(0, 0.05, n)
        if seed % 4 == 1:  # few different risks
            risk = np.round(risk * 4) / 4 * 0.9 + 0.05
        centre = np.where(generator.random(n) < 0.4, "CLB", "IB")
        for name, made in estimates(risk, Followup(months, event, centre), seed=seed).items():
            seen.add(name)
            if np.isnan([made.low, made.high]).any():
                assert np.isnan([made.low, made.high]).all(), f"{name}, {seed}"
                assert made.note, f"{name}, data set {seed}: {made}"
            else:
                assert made.low <= made.value + 1e-12, f"{name}, data set {seed}: {made}"
                assert made.value <= made.high + 1e-12, f"{name}, data set {seed}: {made}"
                assert made.high - made.low > 1e-6, f"{name}, data set {seed}: {made}"
    assert len(seen) > 15


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.9, "below"),
        (1.1, 1.9, "above"),
        (0.9, 1.1, "neither"),
        (1.0, 1.1, "neither"),
        (np.nan, np.nan, "neither"),
    ],
)
def test_an_estimate_chooses_the_words_by_where_its_interval_lies(low, high, words):
    assert Estimate(1.0, low, high).where(1, below="below", above="above", neither="neither") == words
