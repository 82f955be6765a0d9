"""Predictions round by round, tables of what travelled, and the figure of both."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from sarcnet.federated.analysis.by_round import predict_rounds, score_by
from sarcnet.federated.app.ledger import list_contents
from sarcnet.federated.engines.simulation import simulate
from sarcnet.model.predict import predict_out_of_fold


@pytest.fixture
def run(cohort, make_plan):
    return simulate(
        make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="inprocess"
    )


def test_the_last_round_is_the_finished_model(run, cohort):
    patients, folds = cohort.patients(), cohort.folds()
    rounds = predict_rounds(run, patients, folds=folds)
    final = predict_out_of_fold(run.model, patients, folds=folds)
    assert rounds.groupby("round").size().to_dict() == {1: 54, 2: 54}
    pd.testing.assert_frame_equal(
        rounds[rounds["round"] == 2].drop(columns="round").reset_index(drop=True), final, check_exact=True
    )
    assert not rounds.loc[rounds["round"] == 1, "risk"].reset_index(drop=True).equals(final["risk"])


def test_centring_changes_no_risk_of_a_patient_with_tiles(cohort, make_plan):
    """So the curve over the rounds and the finished model speak of the same predictions."""
    longer = simulate(
        make_plan(rounds=3), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "a", engine="inprocess"
    )
    shorter = simulate(
        make_plan(rounds=2), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "b", engine="inprocess"
    )
    patients, folds = cohort.patients(), cohort.folds()
    rounds = predict_rounds(longer, patients, folds=folds)
    second = rounds.loc[rounds["round"] == 2, "risk"].to_numpy()
    assert second == pytest.approx(
        predict_out_of_fold(shorter.model, patients, folds=folds)["risk"].to_numpy(), abs=1e-5
    )


def test_a_score_by_group_is_the_mean_over_repeats():
    risks = {"patient_id": ["a", "b", "a", "b"], "repeat": [0, 0, 1, 1], "risk": [0.2, 0.9, 0.4, 0.9]}
    outcome = pd.DataFrame({"patient_id": ["a", "b"], "mfs_months": 1.0, "mfs_event": 1, "centre": "CLB"})
    oof = pd.DataFrame({"model": "m", "centre": "CLB"} | risks)
    for by in (["model"], ["model", "centre"]):
        table = score_by(oof, by=by, outcome=outcome, score=lambda rows: rows["risk"].sum() * rows["mfs_event"].mean())
        assert table[["patients", "score"]].to_numpy().tolist() == [[2, pytest.approx(1.2)]]


def test_the_catalogue_names_every_axis(run):
    table = list_contents(run.messages, shape=run.model.network.shape, repeats=1)
    assert not table["axes"].str.contains("UNKNOWN").any()
    weights = table[(table["name"] == "tile_weight") & (table["direction"] == "from a hospital")]
    assert weights[["axes", "shape"]].to_numpy().tolist() == [["member × embedding × feature", "2 × 5 × 11"]]


def test_steps_follow_from_each_hospital_s_batches(make_plan):
    """Sixty patients fill two batches of 32 and a hundred four, while a hundred and sixty fill five."""
    centres = pd.Series(["CLB"] * 60 + ["IB"] * 100)
    plan = dataclasses.replace(make_plan(rounds=15, local_epochs=2, epochs=30, batch_patients=32))
    told = "Training steps (batches of 32 patients): 60 at CLB, 120 at IB; pooled 150."
    assert plan.training_steps(centres) == told
    assert "180 at CLB, 360 at IB; pooled 150." in dataclasses.replace(plan, rounds=45).training_steps(centres)
