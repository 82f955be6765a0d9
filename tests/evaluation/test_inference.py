"""Intervals in closed form, BCa, subgroups, moves between groups, the share of what could be won."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.evaluation.metrics.bootstrap import Resampled, bca_constants, bca_tails, influence, resample_auc, strata_of
from sarcnet.evaluation.metrics.delong import delong, influences
from sarcnet.evaluation.metrics.reclassification import moves
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import compare_models
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.sensitivity.alternatives import delong_table
from sarcnet.evaluation.subgroups.heterogeneity import heterogeneity, judge_subgroups
from studies.benchmarks import bootstrap
from virtual_cohort.experiments.headroom.share import headroom_text, share_of_headroom

HORIZON = 60.0


def test_the_bench_finds_equal_numbers():
    assert "the same numbers" in bootstrap.compare(1, samples=60, loops=1)[0]


def test_bca_agrees_with_scipy_on_a_skewed_mean():
    sample = np.random.default_rng(1).exponential(size=40)
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2))
    draws = np.random.default_rng(3).choice(sample, size=(20_000, 40)).mean(axis=1)
    without = (sample.sum() - sample) / 39
    one = np.zeros(40)
    bias, acceleration = bca_constants(sample.mean(), draws, influence(without, strata=one))
    tails = bca_tails(np.array([0.025, 0.975]), bias=bias, acceleration=acceleration)
    interval = theirs.confidence_interval
    assert np.quantile(draws, tails) == pytest.approx([interval.low, interval.high], abs=0.015)
    assert tails[0] > 0.03
    assert tails[1] > 0.98, "a mean of a skewed variable needs an interval that reaches further up"


def test_influence_of_a_mean_is_known():
    sample = np.random.default_rng(1).normal(size=30)
    found = influence((sample.sum() - sample) / 29, strata=np.zeros(30))
    assert (found**2).sum() == pytest.approx(sample.var(ddof=1) / 30)


def test_delong_is_the_textbook_s_when_nobody_is_lost(cohort):
    """Sen's components by two loops, as in DeLong's paper."""
    risk, followup = cohort(60, seed=1, lost=False)
    outcome = (followup.event == 1) & (followup.months <= HORIZON)
    x, y = risk[outcome], risk[~outcome]
    v10 = [np.mean([(a > b) + 0.5 * (a == b) for b in y]) for a in x]
    v01 = [np.mean([(a > b) + 0.5 * (a == b) for a in x]) for b in y]
    variance = np.var(v10, ddof=1) / len(x) + np.var(v01, ddof=1) / len(y)
    found = delong(risk, followup, horizon_months=HORIZON, level=0.95)
    assert found.value == pytest.approx(np.mean(v10))
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    case = outcome.astype(float)
    assert (influences(risk, case=case, control=1 - case)[1] ** 2).sum() == pytest.approx(variance)


def test_closed_form_leaving_out_and_resampling_agree_under_censoring(cohort):
    risk, followup = cohort(300, seed=2)
    noisy = risk + np.random.default_rng(0).normal(0, 0.2, 300)
    found = resample_auc(
        {"a": risk[:, None], "b": noisy[:, None]},
        followup,
        horizon_months=HORIZON,
        samples=2000,
        level=0.95,
        rng=rng(1, "t"),
    )
    closed = delong(risk, followup, horizon_months=HORIZON, level=0.95, other=noisy)
    width = (closed.high - closed.low) / (2 * 1.96)
    left_out = np.sqrt(((found.influence("a") - found.influence("b")) ** 2).sum())
    assert left_out == pytest.approx(width, rel=0.1)
    assert (found.draws["a"] - found.draws["b"]).std() == pytest.approx(width, rel=0.1)
    assert found.difference("a", "b").value == pytest.approx(closed.value)


def test_resampling_keeps_centres_and_metastases(cohort):
    _, followup = cohort(80, seed=3)
    assert set(strata_of(followup)) == {f"{c} / {e}" for c in ("CLB", "IB") for e in ("metastasis", "none")}


def test_many_pairs_are_sorted_and_give_the_same_numbers(cohort, monkeypatch):
    risk, followup = cohort(90, seed=4)
    setting = {"horizon_months": HORIZON, "samples": 50, "level": 0.9}
    small = resample_auc({"m": risk[:, None]}, followup, rng=rng(1, "t"), **setting)
    monkeypatch.setattr("sarcnet.evaluation.metrics.bootstrap.PAIRS_MAX", 0)
    large = resample_auc({"m": risk[:, None]}, followup, rng=rng(1, "t"), **setting)
    assert np.allclose(small.draws["m"], large.draws["m"], atol=1e-12)


def made(clinical: float, model: float, oracle: float, *, spread: float) -> Resampled:
    noise = np.random.default_rng(0).normal(0, spread, (3, 4000))
    point = {"clinical": clinical, "model": model, "oracle": oracle}
    return Resampled(point, {name: point[name] + noise[k] for k, name in enumerate(point)}, 0.95)


def test_share_attained_has_fieller_s_bounds_or_none():
    names = {"model": "model", "base": "clinical", "oracle": "oracle"}
    clear = share_of_headroom(made(0.75, 0.80, 0.85, spread=0.005), **names)
    assert clear.value == pytest.approx(0.5)
    assert 0.3 < clear.low < 0.5 < clear.high < 0.7
    assert "0.50 (" in headroom_text(clear, level=0.95, base="clinical")
    vague = share_of_headroom(made(0.75, 0.80, 0.85, spread=0.08), **names)
    assert not np.isfinite(vague.low)
    assert "more patients are needed" in headroom_text(vague, level=0.95, base="clinical")


def test_heterogeneity_counts_distances_in_errors():
    q, freedom, p = heterogeneity(np.array([0.1, 0.1, 0.1]), np.array([0.02, 0.05, 0.03]))
    assert (round(q, 12), freedom, round(p, 6)) == (0.0, 2, 1.0)
    q, _, p = heterogeneity(np.array([0.0, 0.2]), np.array([0.05, 0.05]))
    assert q == pytest.approx(0.2**2 / (2 * 0.05**2))
    assert p == pytest.approx(stats.chi2.sf(8.0, 1))


@pytest.fixture
def patients(cohort) -> tuple[pd.DataFrame, np.ndarray]:
    risk, followup = cohort(240, seed=5)
    k = np.arange(240)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in k],
            "centre": followup.centre,
            "mfs_months": followup.months,
            "mfs_event": followup.event,
            "size_mm": np.where(k % 2, 50.0, 120.0),
            "fnclcc_grade": np.where(k % 5 == 0, np.nan, 2 + k % 2),
            "depth": "deep",
            "histotype": np.where(k % 3, "UPS", "MPNST"),
            "sex": np.where(k % 7 < 3, "female", "male"),
            "age_years": np.where(k % 4, 70.0, 50.0),
        }
    ), risk


def test_subgroups_are_found_counted_and_compared(patients):
    table, risk = patients
    own = np.random.default_rng(1).normal(0, 0.3, 240)
    better_in_large = np.where(table["size_mm"] > 80, risk, own)
    series = EvaluationSet("s", table, {"m": better_in_large[:, None], "other": own[:, None]})
    found = judge_subgroups(
        series, model="m", other="other", horizon_months=HORIZON, resampling=Resampling(samples=200, level=0.95, seed=1)
    )
    rows = found.rows.set_index("level")
    assert rows.loc["all patients", "n"] == 240
    main = (
        compare_models([series], horizon_months=HORIZON, resampling=Resampling(samples=200, level=0.95, seed=1))
        .results["s"]
        .estimate("m")
    )
    assert tuple(rows.loc["all patients", ["auc", "low", "high"]]) == pytest.approx((main.value, main.low, main.high))
    assert rows.loc["grade 3", "n"] == int((table["fnclcc_grade"] == 3).sum())
    assert rows.loc["up to 8 cm", "difference"] == 0
    assert rows.loc["above 8 cm", "difference_low"] > 0.05
    assert any("depth: all patients are alike (deep)" in sentence for sentence in found.failures)
    assert "depth" not in set(found.tests["variable"])
    assert (rows["low"] <= rows["auc"]).all()


def test_a_subgroup_without_metastasis_is_told_and_the_rest_is_computed(patients):
    table, risk = patients
    table.loc[table["sex"] == "female", "mfs_event"] = 0
    series = EvaluationSet("s", table, {"m": risk[:, None], "other": -risk[:, None]})
    found = judge_subgroups(
        series, model="m", other="other", horizon_months=HORIZON, resampling=Resampling(samples=100, level=0.95, seed=1)
    )
    assert any("these have too few: female (0 and" in sentence for sentence in found.failures)
    assert {"male", "CLB", "IB"} <= set(found.rows["level"])


def test_moves_between_groups_are_counted_by_hand():
    followup = Followup(np.array([10.0, 20, 70, 80, 30, 90]), np.array([1, 1, 0, 0, 2, 0]), np.array(["a"] * 6))
    old, new = np.array([0, 1, 1, 0, 1, 1], bool), np.array([1, 1, 0, 0, 0, 1], bool)
    found = moves(old, new, followup, horizon_months=HORIZON, level=0.95)
    assert found.table.set_index("group")["n"].tolist() == [2, 1, 2, 1]
    assert found.cases.value == pytest.approx(1 / 2)
    assert found.controls.value == pytest.approx(2 / 4)
    assert found.table.set_index("group").loc["moved up (low, now high)", "incidence"] == 1.0


def test_fixed_models_on_one_series_are_compared_in_pairs(patients):
    table, risk = patients
    series = EvaluationSet("s", table, {"sarcnet_fedavg": risk[:, None], "fnclcc_grade": np.round(risk)[:, None]})
    found = delong_table(series, [], horizon_months=HORIZON, level=0.95)
    assert len(found) == 1
    gap = auc(risk, series.followup, horizon_months=HORIZON) - auc(
        np.round(risk), series.followup, horizon_months=HORIZON
    )
    assert found["difference"].iloc[0] == pytest.approx(gap)
    assert 0 <= found["P (exploratory)"].iloc[0] <= 1
