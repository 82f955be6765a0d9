"""Scores that are no sum: integrated gradients that add up, held against slow integration, exact parts and Shapley values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.attribution import gradients, sanity
from sarcnet.interpret.attribution.contributions import explain
from sarcnet.interpret.attribution.gradients import TOLERANCE, integrated_gradients, parts_of, sentence
from sarcnet.interpret.attribution.nomogram import nomogram_of
from sarcnet.interpret.attribution.response import respond
from sarcnet.interpret.attribution.shapley import compare_with_shapley
from sarcnet.model.bags import Bags
from sarcnet.model.clinical import clinical_values
from sarcnet.model.crossval import Member, fold_matrix, out_of_fold
from sarcnet.model.hazard import intervals
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, contributions, predict_scores, scores_to_risks

D = 5
SIZES = (4, 7, 0, 6)
VARIABLES = ("age_years", "size_mm")  # columns: age_years, age_years_missing, size_mm, size_mm_missing
KINDS = [("transmil", "late"), ("abmil", "concatenation"), ("abmil", "gated"), ("chowder", "concatenation")]


@pytest.fixture
def patients() -> Patients:
    """Four patients: one without a slide, one of unknown size."""
    g = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(SIZES)])
    ids = tuple(f"P{k}" for k in range(len(SIZES)))
    tiles = pd.DataFrame({"slide_id": np.repeat(ids, SIZES), "tile": np.concatenate([np.arange(s) for s in SIZES])})
    tiles["x_px"] = tiles["y_px"] = 0
    bags = Bags(ids, g.standard_normal((offsets[-1], D)).astype(np.float32), offsets, tiles)
    clinical = np.array([[1, 0, 2, 0], [-1, 0, np.nan, 1], [0.5, 0, 1, 0], [2, 0, -1, 0]], np.float32)
    outcome = intervals(np.full(len(ids), 70.0), np.zeros(len(ids)), edges_months=[60.0])
    return Patients(bags, clinical, outcome, ("CLB",) * len(ids))


def stack(aggregator: str, fusion: str) -> TrainedStack:
    """Two members with random weights everywhere and a standardisation that is not trivial."""
    shape = StackShape(2, D, 4, 8, 4, 1, image=True, clinical=True, aggregator=aggregator, fusion=fusion)
    network = StackedNetwork(shape)
    torch.manual_seed(3)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.7)
    network.tile_mean += 0.2
    network.clinical_mean += 0.3
    fields = {"clinical_variables": VARIABLES, "hazard_edges_months": (60.0,), "horizon_months": 60.0}
    protocol = type("Protocol", (), fields)()
    return TrainedStack(protocol, (Member("m", 0, 0), Member("m", 1, 0)), network.eval())


@pytest.mark.parametrize(("aggregator", "fusion"), KINDS)
def test_parts_add_up_for_every_patient_within_the_stated_error(patients, aggregator, fusion):
    model = stack(aggregator, fusion)
    use = np.ones((len(SIZES), 2))
    use[1, 0] = 0  # the second patient is explained by member 1 alone
    shared = parts_of(model, patients, use=use)
    score = (predict_scores(model.network, patients) * use).sum(axis=1) / use.sum(axis=1)
    assert np.abs(shared.gap).max() <= TOLERANCE
    assert shared.found.scores["score"].to_numpy() + shared.gap == pytest.approx(score, abs=1e-5)
    by_tile = shared.found.tiles.groupby("patient_id")["contribution"].sum().reindex(patients.patient_ids).fillna(0.0)
    assert by_tile.to_numpy() == pytest.approx(shared.found.scores["image"].to_numpy())
    assert by_tile["P2"] == 0  # no slide
    columns = shared.found.clinical.set_index(["patient_id", "column"])["contribution"]
    assert columns["P1", "size_mm"] == 0  # unknown: no part of its own
    assert np.abs(columns["P0"]).max() > 0.01


def test_slow_integration_of_difference_quotients_gives_the_same(patients):
    model = stack("transmil", "concatenation")
    network, one = model.network.double(), patients.select(np.array([0]))
    tiles = torch.from_numpy(one.bags.features).double()
    clinical = torch.from_numpy(one.clinical).double()
    begin, known = network.tile_mean.mean(dim=0).expand_as(tiles), network.clinical_mean.mean(dim=0)[None]
    points, h = 200, 1e-5
    slow = np.zeros(len(tiles))
    for place in (np.arange(points) + 0.5) / points:
        x, c = begin + place * (tiles - begin), known + place * (clinical - known)
        for t in range(len(tiles)):
            moved = torch.stack([x, x])
            moved[0, t] += h * (tiles - begin)[t]
            moved[1, t] -= h * (tiles - begin)[t]
            with torch.no_grad():
                up, down = network(moved, torch.ones(2, len(x), dtype=torch.bool), c.expand(2, -1)).mean(dim=1)
            slow[t] += float(up - down) / (2 * h) / points
    model.network.float()
    fast = integrated_gradients(model, one, points=(512,)).found.tiles["contribution"].to_numpy()
    assert fast == pytest.approx(slow, abs=2e-3)


def test_where_the_score_is_linear_the_parts_are_the_exact_ones(patients):
    model = stack("mean", "late")
    exact = contributions(model, patients)
    found = integrated_gradients(model, patients).found
    assert found.clinical["contribution"].to_numpy() == pytest.approx(
        exact.clinical["contribution"].to_numpy(), abs=1e-5
    )
    through = parts_of(model, patients)
    assert through.found.tiles.equals(exact.tiles)
    assert not through.gap.any()
    assert sentence(0.0, additive=True).endswith("its parts are exact.")


def test_too_few_points_leave_a_gap_that_is_stated_and_not_spread(patients):
    model = stack("transmil", "late")
    few, many = (integrated_gradients(model, patients, points=points) for points in ((1,), gradients.POINTS))
    assert np.abs(few.gap).max() > TOLERANCE >= np.abs(many.gap).max()
    score = predict_scores(model.network, patients).mean(axis=1)
    assert few.found.scores["score"].to_numpy() + few.gap == pytest.approx(score, abs=1e-5)


def test_integrated_gradients_are_near_shapley_values_and_the_difference_is_stated(patients):
    found = compare_with_shapley(stack("transmil", "late"), patients, use=np.ones((len(SIZES), 2)), tiles=4)
    assert found.parts.shape == (3, 4)  # the patient without a slide is left out
    assert found.values.sum(axis=1) == pytest.approx(found.score, abs=1e-5)
    assert found.table["largest_gap"].between(1e-3, 10).all()
    assert found.table["sum_of_parts"].to_numpy() == pytest.approx(found.parts.sum(axis=1))


@pytest.fixture
def dealt(patients):
    """Folds, and the risks as they would have been evaluated, of a model with gated fusion."""
    model = stack("transmil", "gated")
    folds = pd.DataFrame(
        [(p, r, 0) for p in patients.patient_ids for r in range(2)], columns=["patient_id", "repeat", "fold"]
    )
    risks = scores_to_risks(model, predict_scores(model.network, patients), clinical=patients.clinical)
    oof = out_of_fold(
        risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=model.members
    )
    assert (fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members) == 1).all()
    return model, folds, oof


def test_an_explanation_of_such_a_model_says_its_method_and_error(patients, dealt, monkeypatch):
    model, folds, oof = dealt
    found = explain(model, patients, folds=folds, oof=oof)
    assert 0 < found.score_gap <= TOLERANCE
    assert "integrated gradients" in found.method
    assert f"{found.score_gap:.1e}" in found.method
    table = found.patients
    assert (table["start"] + table["image"] + table["clinical"]).to_numpy() == pytest.approx(table["score"].to_numpy())
    assert table["start"].abs().min() > 0
    monkeypatch.setattr(gradients, "TOLERANCE", 1e-12)
    original = gradients.parts_of
    monkeypatch.setattr(gradients, "parts_of", lambda *a, **k: original(*a, **k, points=(8,)))
    with pytest.raises(SarcnetError, match=r"Patient P\d: the contributions add up to"):
        explain(model, patients, folds=folds, oof=oof)


def test_sanity_checks_shuffle_the_fusion_too_and_a_nomogram_is_refused(patients, dealt):
    model = dealt[0]
    assert set(list(sanity.cascade(model.network).values())[-1]) >= {
        "fusion_score",
        "transmil_first_query",
        "tile_weight",
    }
    found = sanity.map_similarity(model, patients, use=np.ones((4, 2)), repeats=1, rng=np.random.default_rng(0)).table
    assert found["correlation"].between(-1, 1).all()
    with pytest.raises(SarcnetError, match="no nomogram of a model with gated fusion"):
        nomogram_of(model, replace(patients), pd.DataFrame(), variables=VARIABLES)


def test_a_response_of_fused_branches_asks_the_whole_network(patients, dealt):
    model = dealt[0]
    table = pd.DataFrame(
        {"patient_id": patients.patient_ids, "age_years": [50.0, 60, 70, 80], "size_mm": [40.0, 50, 60, 70]}
    )
    curve = respond(model, patients, table, variables=["age_years"], level=0.95).set_index("value")["risk"]
    old = float(curve.index[-1])
    clinical = clinical_values(table.assign(age_years=old), variables=VARIABLES).astype(np.float32)
    aged = replace(patients, clinical=clinical)
    slow = scores_to_risks(model, predict_scores(model.network, aged), clinical=clinical).mean(dtype=np.float64)
    assert curve.loc[old] == pytest.approx(slow)
    assert curve.nunique() > 1
