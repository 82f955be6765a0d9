"""What hospitals compute together without sharing patients equals what a pooled study computes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.federated.app.evaluation_sums import RISK_BINS, RISK_GROUPS, evaluation_sums
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.privacy.small_cells import (
    category_counts,
    merge_counts,
    suppress_small_cells,
)
from sarcnet.model.predict import predict_out_of_fold

EDGES, HORIZON = (6.0, 12.0, 24.0, 60.0), 60.0


@pytest.fixture(scope="module")
def judged():
    """Two hospitals' predictions over two repeats, with follow-up that differs between them."""
    generator = np.random.default_rng(4)
    n = 140
    outcome = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(n)],
            "centre": np.where(np.arange(n) < 50, "CLB", "IB"),
            "mfs_months": generator.exponential(60, n) + np.where(np.arange(n) < 50, 0, 10),
            "mfs_event": generator.choice([0, 1, 2], n, p=[0.5, 0.4, 0.1]),
        }
    )
    frames = [
        pd.DataFrame({"patient_id": outcome["patient_id"], "repeat": r, "risk": generator.beta(2, 2, n)})
        for r in (0, 1)
    ]
    return pd.concat(frames, ignore_index=True), outcome


def sums(judged, centre=None):
    oof, outcome = judged
    own = outcome if centre is None else outcome[outcome["centre"] == centre]
    rows = oof[oof["patient_id"].isin(own["patient_id"])]
    return evaluation_sums(rows, outcome=own, horizon_months=HORIZON, hazard_edges_months=EDGES)


def test_sums_over_hospitals_are_the_pooled_sums(judged):
    together, apart = sums(judged).to_arrays(), (sums(judged, "CLB") + sums(judged, "IB")).to_arrays()
    for name, array in together.items():
        np.testing.assert_allclose(apart[name], array, rtol=1e-12, atol=1e-12, err_msg=name)


def test_auc_of_histograms_is_that_of_the_binned_risks_and_brackets_the_pooled_one(judged):
    oof, outcome = judged
    area, off = (sums(judged, "CLB") + sums(judged, "IB")).auc
    exact, binned = [], []
    for _, rows in oof.groupby("repeat"):
        known = rows.merge(outcome, on="patient_id")
        followup = Followup(*(known[c].to_numpy() for c in ("mfs_months", "mfs_event", "centre")))
        risk = known["risk"].to_numpy()
        exact.append(auc(risk, followup, horizon_months=HORIZON))
        binned.append(auc(np.floor(risk * RISK_BINS), followup, horizon_months=HORIZON))
    assert area == pytest.approx(np.mean(binned), abs=1e-12)
    assert abs(area - np.mean(exact)) <= off
    assert 0 < off < 0.06


def test_a_hospital_that_was_not_followed_to_the_horizon_sends_empty_histograms(judged):
    """Its cases against the other's controls would tell the hospitals apart and nothing else."""
    oof, outcome = judged
    there = (outcome["centre"] == "CLB") & (outcome["mfs_months"] > 40)
    short = outcome.assign(
        mfs_months=outcome["mfs_months"].where(~there, 40.0), mfs_event=outcome["mfs_event"].where(~there, 0)
    )
    alone = sums((oof, short), "CLB")
    assert not alone.cases.any()
    assert not alone.controls.any()
    assert (alone + sums(judged, "IB")).auc == sums(judged, "IB").auc
    exact = outcome.assign(mfs_months=short["mfs_months"].replace(40.0, HORIZON), mfs_event=short["mfs_event"])
    assert sums((oof, exact), "CLB").controls.sum() > 0, "free at the horizon itself is free"


def test_calibration_equals_plain_loops(judged):
    oof, outcome = judged
    table = (sums(judged, "CLB") + sums(judged, "IB")).calibration().set_index("group")
    known = oof.merge(outcome, on="patient_id")
    for group in range(RISK_GROUPS):
        rows = known[np.floor(known["risk"] * RISK_GROUPS) == group]
        assert table.loc[group, "patients"] == len(rows) / 2
        assert table.loc[group, "predicted"] == pytest.approx(rows["risk"].mean())
        free, start = 1.0, 0.0
        for end in EDGES:
            at_risk = events = 0
            for t, event in zip(rows["mfs_months"], rows["mfs_event"], strict=True):
                happened = event == 1 and start < t <= end
                survived = t > end if event == 1 else t >= (start + end) / 2
                at_risk += happened or survived
                events += happened
            free *= 1 - events / at_risk
            start = end
        assert table.loc[group, "observed"] == pytest.approx(1 - free)


def test_the_app_judges_itself_as_a_pooled_study_would(cohort, make_plan):
    plan = make_plan()
    run = simulate(plan, hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="inprocess")
    oof = predict_out_of_fold(run.model, cohort.patients(), folds=cohort.folds())
    pooled = evaluation_sums(oof, outcome=cohort.table, horizon_months=HORIZON, hazard_edges_months=EDGES)
    for name, array in pooled.to_arrays().items():
        np.testing.assert_allclose(run.evaluation.to_arrays()[name], array, rtol=1e-6, err_msg=name)
    assert 0 < run.evaluation.auc[0] < 1


CATEGORIES = {"depth": ["deep", "superficial"], "fnclcc_grade": ["1", "2", "3"]}


def tables(seed=0, sizes=(("CLB", 40), ("IB", 90))):
    generator = np.random.default_rng(seed)
    return {
        name: pd.DataFrame(
            {
                "depth": generator.choice(["deep", "superficial"], n, p=[0.9, 0.1]),
                "fnclcc_grade": generator.choice([1.0, 2.0, 3.0, np.nan], n, p=[0.1, 0.3, 0.5, 0.1]),
            }
        )
        for name, n in sizes
    }


def test_counts_without_suppression_are_the_pooled_counts():
    own = tables()
    sent = {name: category_counts(t, categories=CATEGORIES).astype(float) for name, t in own.items()}
    merged = merge_counts(sent, patients={name: len(t) for name, t in own.items()})
    pooled = category_counts(pd.concat(own.values()), categories=CATEGORIES)
    assert merged["low"].equals(pooled.rename("low"))
    assert merged["high"].equals(pooled.rename("high"))
    assert pooled.loc["depth"].sum() == 130


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.tuples(st.integers(1, 30), st.integers(1, 60)))
def test_suppressed_counts_bracket_the_pooled_ones_and_no_small_cell_leaves(seed, sizes):
    own = tables(seed, (("CLB", sizes[0]), ("IB", sizes[1])))
    counts = {name: category_counts(t, categories=CATEGORIES) for name, t in own.items()}
    sent = {name: suppress_small_cells(c, smallest=5) for name, c in counts.items()}
    for name, cells in sent.items():
        visible = cells.dropna()
        assert ((visible == 0) | (visible >= 5)).all()
        assert visible.astype(int).equals(counts[name][visible.index])
        hidden = cells.isna().groupby(level="variable").sum()
        for variable in hidden[hidden == 1].index:  # alone only where nothing else could be hidden with it
            others = counts[name].loc[variable]
            assert (others[others > 0] < 5).sum() == 1
            assert (others >= 5).sum() == 0
    merged = merge_counts(sent, patients={name: len(t) for name, t in own.items()})
    pooled = sum(counts.values())
    assert (merged["low"] <= pooled).all()
    assert (pooled <= merged["high"]).all()


def test_one_small_cell_takes_another_with_it():
    table = pd.DataFrame({"depth": ["deep"] * 30 + ["superficial"] * 2})
    sent = suppress_small_cells(category_counts(table, categories={"depth": ["deep", "superficial"]}))
    assert sent.loc["depth"].isna().tolist() == [True, True, False]  # missing is 0 and stays


def test_a_category_nobody_agreed_on_is_refused():
    with pytest.raises(SarcnetError, match=r"depth has the values \['profound'\]"):
        category_counts(pd.DataFrame({"depth": ["profound"]}), categories={"depth": ["deep"]})
