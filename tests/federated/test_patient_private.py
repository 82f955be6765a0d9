"""Private training in the app: what leaves, what is counted, and who may refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.federated.privacy.accountant import rdp_epsilon
from sarcnet.federated.privacy.dp_sgd import train_privately
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics


def federate(cohort, plan, name, **settings):
    chosen = dataclasses.replace(plan, strategy=strategy_config("patient_private", **settings))
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(chosen, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def test_every_hospital_has_its_account_and_sends_no_loss(cohort, make_plan):
    run = federate(cohort, make_plan(rounds=3, local_epochs=2), "private", patient_noise=5.0)
    for (round, _), rows in run.rounds.groupby(["round", "hospital"]):
        expected = rdp_epsilon(noise_multiplier=5.0, releases=2 * int(round), delta=1e-3)
        assert rows["epsilon"].item() == pytest.approx(expected)
    assert run.rounds[["training_loss", "heldout_loss"]].isna().all().all()  # a loss would be a release without noise


def test_without_noise_no_epsilon_is_told_and_noise_moves_the_model(cohort, make_plan):
    quiet = federate(cohort, make_plan(), "quiet", patient_noise=0.0)
    loud = federate(cohort, make_plan(), "loud", patient_noise=5.0)
    assert quiet.rounds["epsilon"].isna().all()
    assert "privacy" not in set(quiet.messages["record"])
    one, other = (r.model.network.parameter_arrays()["image_weight"] for r in (quiet, loud))
    assert np.abs(one - other).max() > 1e-3


@pytest.fixture
def home(cohort, make_plan):
    plan = make_plan()
    hospital = read_hospital(cohort.hospitals()["IB"], protocol=plan.protocol)
    stack = build_stack(plan.protocol, members=plan.members)
    apply_statistics(stack, training_statistics(hospital.patients, weights=hospital.weights))
    return stack, hospital


def test_a_hospital_stops_at_its_own_limit_before_it_computes(home):
    stack, hospital = home
    before = stack.parameter_arrays()
    chosen = strategy_config("patient_private", patient_noise=3.0)
    allowed = rdp_epsilon(noise_multiplier=3.0, releases=2, delta=1e-3)
    limit = {"epsilon-max": allowed + 0.01, "noise-secret": 1}
    with pytest.raises(SarcnetError, match="this hospital's limit, epsilon-max, is"):
        train_privately(stack, hospital, strategy=chosen, epochs=range(2, 3), node_config=limit)
    none = strategy_config("patient_private", patient_noise=0.0)
    with pytest.raises(SarcnetError, match="would bring the patients' ε to inf"):
        train_privately(stack, hospital, strategy=none, epochs=range(1), node_config=limit)
    assert all(np.array_equal(before[k], a) for k, a in stack.parameter_arrays().items())
    spent = train_privately(stack, hospital, strategy=chosen, epochs=range(1, 2), node_config=limit)
    assert spent.unit == "patient"
    assert spent.releases == 2
    assert spent.epsilon == pytest.approx(allowed)


def test_noise_that_nobody_was_told_the_seed_of_is_drawn_by_the_system(home):
    stack, hospital = home
    start, found = stack.parameter_arrays(), []
    for config in ({}, {}, {"noise-secret": 4}, {"noise-secret": 4}):
        stack.load_parameter_arrays(start)
        train_privately(
            stack, hospital, strategy=strategy_config("patient_private"), epochs=range(1), node_config=config
        )
        found.append(stack.parameter_arrays()["image_weight"])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])


def test_private_settings_that_make_no_sense_are_refused():
    with pytest.raises(SarcnetError, match="patient_noise without patient_clip protects nobody"):
        strategy_config("fedavg", patient_noise=1.0)
    with pytest.raises(SarcnetError, match="patient_clip replaces the training at home"):
        strategy_config("fedprox", patient_clip=1.0)
    with pytest.raises(SarcnetError, match="delta is 0"):
        strategy_config("patient_private", delta=0.0)
    with pytest.raises(SarcnetError, match="control variates go with the mean only"):
        strategy_config("scaffold", combine="median")
