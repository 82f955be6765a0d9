"""Resampling patients: pairs, centres, coverage."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.evaluation.metrics.bootstrap import resample_auc, resample_counts
from sarcnet.evaluation.tables.text import auc_table, difference_table, readable

SETTING = {"horizon_months": 60.0, "samples": 300, "level": 0.95}


def draw(n: int, generator: np.random.Generator) -> tuple[np.ndarray, Followup]:
    risk = generator.normal(size=n)
    months = np.minimum(generator.exponential(70 * np.exp(-risk)), 200.0)
    lost = generator.uniform(30, 160, n)
    centre = np.where(np.arange(n) % 3 == 0, "CLB", "IB")
    return risk, Followup(np.minimum(months, lost), ((months <= lost) & (months < 200)).astype(int), centre)


def test_each_centre_keeps_its_size_in_every_resample():
    centre = np.array(["CLB"] * 7 + ["IB"] * 11)
    counts = resample_counts(centre, samples=50, rng=rng(1, "test"))
    assert (counts[:, :7].sum(axis=1) == 7).all()
    assert (counts[:, 7:].sum(axis=1) == 11).all()
    assert counts.std() > 0.5


def test_a_model_does_not_differ_from_itself_but_intervals_have_width():
    risk, followup = draw(120, np.random.default_rng(0))
    risks = {"one": risk[:, None], "same": np.exp(risk)[:, None]}
    found = resample_auc(risks, followup, rng=rng(1, "t"), **SETTING)
    gap = found.difference("one", "same")
    assert str(gap) == "0.000 (no spread in the resamples: no interval)"
    assert gap.p == 1.0
    estimate = found.estimate("one")
    assert estimate.low < estimate.value < estimate.high
    assert estimate.value == pytest.approx(auc(risk, followup, horizon_months=60.0))


def test_a_difference_is_known_better_than_its_parts():
    generator = np.random.default_rng(0)
    risk, followup = draw(200, generator)
    risks = {"one": risk[:, None], "near": (risk + generator.normal(0, 0.2, 200))[:, None]}
    found = resample_auc(risks, followup, rng=rng(1, "t"), **SETTING)
    gap, own = found.difference("one", "near"), found.estimate("one")
    assert gap.high - gap.low < 0.5 * (own.high - own.low)


def test_repeats_are_averaged():
    generator = np.random.default_rng(2)
    risk, followup = draw(100, generator)
    other = generator.normal(size=100)
    found = resample_auc({"two": np.column_stack([risk, other])}, followup, rng=rng(1, "t"), **SETTING)
    single = [auc(column, followup, horizon_months=60.0) for column in (risk, other)]
    assert found.point["two"] == pytest.approx(np.mean(single))


def test_the_same_seed_draws_the_same_patients():
    risk, followup = draw(80, np.random.default_rng(3))
    one, two = (resample_auc({"m": risk[:, None]}, followup, rng=rng(9, "t"), **SETTING) for _ in range(2))
    assert np.array_equal(one.draws["m"], two.draws["m"])


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(4)
    big, watched = draw(60_000, generator)
    truth = auc(big, watched, horizon_months=60.0)
    hits = 0
    for number in range(150):
        risk, followup = draw(150, generator)
        found = resample_auc({"m": risk[:, None]}, followup, rng=rng(number, "cover"), **SETTING).estimate("m")
        hits += found.low <= truth <= found.high
    assert 0.88 <= hits / 150 <= 0.99


def test_tables_put_the_paper_beside_cross_validation_only():
    risk, followup = draw(120, np.random.default_rng(5))
    risks = {"sarcnet_fedavg": risk[:, None], "fnclcc_grade": np.round(risk)[:, None]}
    found = resample_auc(risks, followup, rng=rng(1, "t"), **SETTING)
    table = auc_table(
        {"cross-validation": found, "validation": found}, sizes={"cross-validation": 120, "validation": 120}
    )
    papers = table.set_index(["series", "model"])["paper"]
    assert papers["cross-validation", "fnclcc_grade"] == "0.706 (0.670 to 0.743)"
    assert papers["validation", "fnclcc_grade"] == ""
    shown = readable(table)
    assert list(shown.index) == ["SarcNet, federated (FedAvg)", "FNCLCC grade"]
    assert "paper (real patients), cross-validation" in shown.columns
    gaps = difference_table(found, [("sarcnet_fedavg", "fnclcc_grade"), ("sarcnet_fedavg", "absent")])
    assert len(gaps) == 1
    assert gaps["low"].iloc[0] <= gaps["difference"].iloc[0] <= gaps["high"].iloc[0]
