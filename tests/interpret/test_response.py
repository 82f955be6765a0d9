"""Curves and nomogram say what the network says; the grouped jackknife knows the error of a mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sarcnet.cohort.endpoint import METASTASIS
from sarcnet.interpret.attribution import response
from sarcnet.interpret.attribution.nomogram import IMAGE, IMAGE_QUANTILES, nomogram_of
from sarcnet.interpret.figures.response import draw_nomogram, draw_response
from sarcnet.model.bags import Bags
from sarcnet.model.crossval import Member
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.patients import assemble_patients
from sarcnet.model.predict import TrainedStack, predict_risks, predict_scores
from sarcnet.model.protocol import Protocol
from virtual_cohort.experiments import true_risk_curves
from virtual_cohort.experiments.counterfactual import draw_counterfactual
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.patients.simulate import virtual_patients

VARIABLES = ("age_years", "size_mm", "depth", "fnclcc_grade")
EDGES = (24.0, 60.0)
N, D = 30, 5


@pytest.fixture(scope="module")
def cohort():
    return virtual_patients(4, centre=CENTRES["IB"], series="training", count=N)


@pytest.fixture(scope="module")
def table(cohort) -> pd.DataFrame:
    known = cohort.table.assign(centre="IB")
    known.loc[0, "depth"] = None
    return known


@pytest.fixture(scope="module")
def patients(table):
    g = np.random.default_rng(0)
    sizes = np.array([0] + [4] * (N - 1))
    tiles = pd.DataFrame({"slide_id": "s", "tile": np.arange(sizes.sum()), "x_px": 0, "y_px": 0})
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    bags = Bags(tuple(table["patient_id"]), g.standard_normal((sizes.sum(), D)).astype(np.float32), offsets, tiles)
    return assemble_patients(table, bags=bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES)


@pytest.fixture(scope="module")
def model(patients) -> TrainedStack:
    p = patients.clinical.shape[1]
    network = StackedNetwork(StackShape(4, D, p, 3, 2, len(EDGES)))
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.3)
    network.clinical_mean.copy_(torch.from_numpy(np.nan_to_num(np.nanmean(patients.clinical, axis=0))).expand(4, p))
    network.clinical_inverse_std.fill_(0.1)
    fields = {"clinical_variables": VARIABLES, "hazard_edges_months": EDGES, "horizon_months": 60.0}
    protocol = Protocol.__new__(Protocol)
    for name, value in fields.items():
        object.__setattr__(protocol, name, value)
    members = tuple(Member("m", repeat, fold) for repeat in range(2) for fold in range(2))
    return TrainedStack(protocol, members, network.eval())


def test_a_curve_passes_through_the_prediction_when_all_have_that_value(model, patients, table):
    same = table.assign(fnclcc_grade=2)
    uniform = assemble_patients(same, bags=patients.bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES)
    found = response.respond(model, patients, table, variables=["fnclcc_grade"], level=0.95)
    at_two = found[found["value"] == 2].iloc[0]
    assert at_two["risk"] == pytest.approx(predict_risks(model, uniform).mean(), abs=1e-6)
    assert 0 < at_two["low"] < at_two["risk"] < at_two["high"] < 1


def test_bounds_stay_between_nothing_and_certainty(model, patients, table, monkeypatch):
    monkeypatch.setattr(response, "jackknife_error", lambda values, members: 3.0)
    found = response.respond(model, patients, table, variables=["depth"], level=0.95)
    assert found["low"].between(0, 0.05).all()
    assert found["high"].between(0.95, 1).all()


def test_grid_holds_only_what_is_there(table):
    assert response.grid_of(table, "depth") == ["superficial", "deep"] or response.grid_of(table, "depth") == ["deep"]
    ages = response.grid_of(table, "age_years")
    assert len(ages) == response.GRID
    assert min(ages) > table["age_years"].min()


def test_grouped_jackknife_gives_the_error_of_a_mean():
    """Each network's "quantity" is the mean of 40 numbers without one of 10 groups; 400 such studies."""
    g = np.random.default_rng(1)
    members = [Member("m", 0, fold) for fold in range(10)]
    errors = []
    for _ in range(400):
        values = g.standard_normal(40)
        without = [np.delete(values.reshape(10, 4), k, axis=0).mean() for k in range(10)]
        errors.append(response.jackknife_error(np.array(without), members) ** 2)
    assert np.mean(errors) == pytest.approx(1 / 40, rel=0.1)
    assert np.isnan(response.jackknife_error(np.array([1.0]), members[:1]))


def test_a_log_odds_is_worth_at_most_what_the_logistic_curve_allows(model, patients):
    use = np.ones((N, 4))
    points = response.points_per_log_odds(model, patients, use=use)
    low, high = (
        response.scores_to_risks(model, predict_scores(model.network, patients) + np.float32(s)).mean()
        for s in (-0.5, 0.5)
    )
    assert points == pytest.approx(100 * (high - low), rel=0.05)


def test_truth_moves_only_with_what_is_in_the_hazard(cohort, table):
    found = true_risk_curves.true_response(
        table, cohort.truth, variables=VARIABLES, horizon_months=60.0, outcome="metastasis"
    )
    assert set(found["variable"]) == {"age_years", "size_mm", "depth"}  # the grade is a reading
    size = found[found["variable"] == "size_mm"]["risk"].to_numpy()
    assert (np.diff(size) > 0).all()


def test_the_true_risk_is_that_of_the_horizon(cohort, table):
    known = cohort.truth.set_index("patient_id")["risk_5y_true"]
    five, three = (
        true_risk_curves.true_risks(table, cohort.truth, horizon_months=months, outcome="metastasis")
        for months in (60.0, 36.0)
    )
    assert five.to_numpy() == pytest.approx(known.loc[five.index].to_numpy(), abs=1e-3)
    assert (three < five).all()
    assert (true_risk_curves.true_risks(table, cohort.truth, horizon_months=60.0, outcome="mfs") > five).all()


def test_figures_name_the_horizon_of_the_model(model, patients, table):
    curves = response.respond(model, patients, table, variables=["depth"], level=0.95)
    points = nomogram_of(model, patients, table, variables=VARIABLES)
    found = pd.DataFrame({"knob": "mitoses", "step": [-1.5, 1.5], "n": 4, "model": 0.0, "low": -0.1, "high": 0.1})
    for months, said in ((36.0, "3-year risk"), (60.0, "5-year risk"), (18.0, "1.5-year risk")):
        drawn = (
            draw_response(curves, None, level=0.95, horizon_months=months).axes[0].get_ylabel(),
            draw_nomogram(points, endpoint=METASTASIS, horizon_months=months).axes[1].get_yticklabels()[1].get_text(),
            draw_counterfactual(found.assign(truth=0.0), level=0.95, horizon_months=months).axes[0].get_ylabel(),
        )
        assert all(said in text for text in drawn), drawn


def test_points_of_the_nomogram_add_up_to_the_score(model, patients, table):
    found = nomogram_of(model, patients, table, variables=VARIABLES)
    assert max(axis["points"].max() for axis in found.axes.values()) == pytest.approx(100)
    someone = 3
    row = table.iloc[[someone]].assign(age_years=60, size_mm=100, depth="deep", fnclcc_grade=3)
    alike = assemble_patients(row, bags=patients.bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES)
    score = predict_scores(model.network, alike).mean()
    clinical = response.clinical_scores(model, alike.clinical).mean()
    total = sum(
        axis.set_index("label").loc[label, "points"]
        for axis, label in ((found.axes["age_years"], "60"), (found.axes["size_mm"], "100"), (found.axes["depth"], "deep"),
                            (found.axes["fnclcc_grade"], "3"))
    )  # fmt: skip
    everyone = predict_scores(model.network, patients) - response.clinical_scores(model, patients.clinical)
    lowest = np.quantile(everyone.mean(axis=1)[1:], IMAGE_QUANTILES[0])
    slide = (score - clinical - lowest) / found.per_point
    assert found.points(score) == pytest.approx(total + slide, abs=1e-3)
    assert list(found.axes) == [*VARIABLES, IMAGE]
    assert (np.diff(found.risks["points"]) > 0).all()


def test_figures_are_drawn(model, patients, table, cohort):
    curves = response.respond(model, patients, table, variables=VARIABLES, level=0.95)
    true = true_risk_curves.true_response(
        table, cohort.truth, variables=VARIABLES, horizon_months=60.0, outcome="metastasis"
    )
    assert len(draw_response(curves, true, level=0.95, horizon_months=60.0).axes) == 4
    assert len(draw_response(curves, None, level=0.95, horizon_months=60.0).legends[0].get_texts()) == 1
    points = nomogram_of(model, patients, table, variables=VARIABLES)
    texts = [t.get_text() for t in draw_nomogram(points, endpoint=METASTASIS, horizon_months=60.0).axes[0].texts]
    assert "deep" in texts
