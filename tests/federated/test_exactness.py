"""Federated is what it says: one hospital alone is central training, one full step is the pooled step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from flwr.app import Message

from sarcnet.federated.app.aggregate import weighted_mean
from sarcnet.federated.engines import simulation
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.model.crossval import make_members, training_weights
from sarcnet.model.predict import predict_risks
from sarcnet.model.statistics import training_statistics
from sarcnet.model.training.experiment import Variant, cross_validate

FULL_STEP = {"optimizer": "sgd", "batch_patients": 1000, "tiles_per_bag": 0, "learning_rate": 0.1, "weight_decay": 0.1}


def federate(cohort, plan, name="rounds"):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def pooled(cohort, plan):
    protocol = dataclasses.replace(plan.protocol, epochs=plan.rounds * plan.local_epochs)
    variant = Variant("sarcnet_pooled")
    return cross_validate(
        protocol, patients=cohort.patients(protocol), folds=cohort.folds(protocol), variant=variant
    ).trained


def assert_same_model(one, other, tolerance):
    a, b = one.network.state_dict(), other.network.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name].numpy(), b[name].numpy(), rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("rounds", "local_epochs", "optimizer"),
    [(3, 2, "sgd"), (1, 4, "adamw")],
    ids=["plain steps, any number of rounds", "adamw within one round"],
)
def test_one_hospital_is_central_training(cohort, make_plan, rounds, local_epochs, optimizer):
    plan = make_plan(rounds=rounds, local_epochs=local_epochs, optimizer=optimizer, centres=("CLB",))
    alone = cohort.as_one_hospital()
    assert_same_model(
        federate(alone, plan).model, pooled(alone, plan), 1e-6
    )  # a change in float32 rounds the last digit


def test_one_full_step_at_two_hospitals_is_one_pooled_step(cohort, make_plan):
    plan = make_plan(rounds=3, **FULL_STEP)
    assert_same_model(federate(cohort, plan).model, pooled(cohort, plan), 2e-6)


def test_one_full_step_would_differ_if_hospitals_counted_alike(cohort, make_plan, monkeypatch):
    """The test above has teeth: it fails for a mean that forgets n."""
    plan = make_plan(rounds=3, **FULL_STEP)
    forget = lambda arrays, patients: weighted_mean(arrays, patients=[np.ones_like(p) for p in patients])  # noqa: E731
    monkeypatch.setattr("sarcnet.federated.app.aggregate.weighted_mean", forget)
    with pytest.raises(AssertionError):
        assert_same_model(federate(cohort, plan).model, pooled(cohort, plan), 2e-6)


def test_standardisation_and_hazard_equal_the_pooled_ones(cohort, make_plan):
    plan = make_plan()
    hospitals = [read_hospital(f, protocol=plan.protocol) for f in cohort.hospitals().values()]
    own = [training_statistics(h.patients, weights=h.weights) for h in hospitals]
    everybody = cohort.patients()
    weights = training_weights(
        cohort.folds(), patient_ids=everybody.patient_ids, centres=everybody.centres, members=plan.members
    )
    together = training_statistics(everybody, weights=weights).to_arrays()
    for name, array in (own[0] + own[1]).to_arrays().items():
        np.testing.assert_allclose(array, together[name], rtol=1e-12, atol=1e-9, err_msg=name)


class LastAnswersFirst(InProcessGrid):
    def get_node_ids(self) -> list[int]:
        return list(reversed(list(super().get_node_ids())))

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return list(reversed(super().pull_messages(message_ids)))


def test_neither_order_of_arrival_nor_order_of_hospitals_matters(cohort, make_plan, monkeypatch):
    first = federate(cohort, make_plan(), "first")
    monkeypatch.setattr(simulation, "InProcessGrid", LastAnswersFirst)
    second = federate(cohort, make_plan(centres=("IB", "CLB")), "second")
    assert_same_model(first.model, second.model, 0.0)


def test_two_runs_are_equal_to_the_bit(cohort, make_plan):
    first, second = federate(cohort, make_plan(), "first"), federate(cohort, make_plan(), "second")
    assert_same_model(first.model, second.model, 0.0)
    assert first.messages.equals(second.messages)
    assert first.rounds.drop(columns="seconds").equals(second.rounds.drop(columns="seconds"))


def test_mean_weighs_each_member_by_its_own_patients():
    arrays = [{"w": np.array([[1.0, 2.0], [10.0, 20.0]], np.float32)}, {"w": np.zeros((2, 2), np.float32)}]
    mean = weighted_mean(arrays, patients=[np.array([1, 3]), np.array([3, 1])])
    np.testing.assert_array_equal(mean["w"], np.array([[0.25, 0.5], [7.5, 15.0]]))
    assert mean["w"].dtype == np.float64


def test_a_stored_federated_model_predicts_held_out_patients(cohort, make_plan):
    """Members are those of the pooled model, so folds, predictions and files are interchangeable."""
    run = federate(cohort, make_plan())
    assert run.model.members == make_members("sarcnet_fedavg", folds=2, repeats=1)
    risks = predict_risks(run.model, cohort.patients())
    assert risks.shape == (54, 2)
    assert ((risks > 0) & (risks < 1)).all()
