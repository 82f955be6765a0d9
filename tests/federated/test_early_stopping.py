"""Early stopping over hospitals is the pooled one: the same patients decide, on the same loss, in the same round."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.checkpoint import FinishedRound, load_rounds
from sarcnet.federated.app.early_stopping import LOSS, PATIENTS, best_rounds, mean_loss, split_hospital
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.crossval import training_weights
from sarcnet.model.training import lightning_module
from sarcnet.model.training.early_stopping import split_for_stopping
from sarcnet.model.training.experiment import Variant, cross_validate

EARLY = {"early_stopping_share": 0.5, "patience": 2}
FULL_STEP = {"optimizer": "sgd", "batch_patients": 1000, "tiles_per_bag": 0, "learning_rate": 0.1, "weight_decay": 0.0}
ROUNDS = 20


def federate(cohort, plan, name="rounds"):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def difference(one, other):
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def arrays(run):
    return {name: tensor.numpy() for name, tensor in run.model.network.state_dict().items()}


def test_a_hospital_alone_picks_those_a_pooled_study_picks_of_it(cohort, make_plan):
    plan, everybody = make_plan(**EARLY), cohort.patients()
    weights = training_weights(
        cohort.folds(), patient_ids=everybody.patient_ids, centres=everybody.centres, members=plan.members
    )
    pooled = split_for_stopping(weights, everybody, members=plan.members, share=0.5, seed=plan.protocol.seed)
    for centre, folder in cohort.hospitals().items():
        home, stopping = split_hospital(read_hospital(folder, protocol=plan.protocol), protocol=plan.protocol)
        own = np.asarray(everybody.centres) == centre
        np.testing.assert_array_equal(home.weights, pooled[0][own])
        np.testing.assert_array_equal(stopping, pooled[1][own])
        assert stopping.sum(axis=0).min() > 0


def test_rounds_of_one_full_step_stop_where_pooled_epochs_stop(cohort, make_plan):
    plan = make_plan(rounds=ROUNDS, **FULL_STEP, **EARLY)
    run = federate(cohort, plan)
    protocol = dataclasses.replace(plan.protocol, epochs=ROUNDS)
    pooled = cross_validate(
        protocol, patients=cohort.patients(protocol), folds=cohort.folds(protocol), variant=Variant("sarcnet_pooled")
    )
    kept = pooled.curves[pooled.curves["kept"]].sort_values("member")["epoch"].tolist()
    finished = load_rounds(run.rounds_folder, upto=ROUNDS)
    assert best_rounds(finished, patience=2).kept.tolist() == kept
    assert len(finished) == pooled.curves["epoch"].max() + 1 < ROUNDS
    assert len(set(kept)) > 1  # members stop in rounds of their own
    own, together = arrays(run), {k: t.numpy() for k, t in pooled.trained.network.state_dict().items()}
    assert difference(own, together) < 5e-6
    assert difference({k: own[k] for k in finished[-1].arrays}, finished[-1].arrays) > 1e-2  # not simply the last round
    losses = pooled.curves.pivot(index="epoch", columns="member", values="stopping_loss").to_numpy()
    np.testing.assert_allclose([f.memory[LOSS] for f in finished], losses, rtol=1e-5)


@pytest.mark.parametrize("name", ["fedavg", "cyclic", "scaffold", "fedadam"])
def test_a_resumed_run_stops_where_a_fresh_one_does(cohort, make_plan, monkeypatch, name):
    settings = EARLY | {"patience": 1, "learning_rate": 0.1}
    plan = dataclasses.replace(make_plan(rounds=8, **settings), strategy=strategy_config(name))
    fresh = federate(cohort, plan, "fresh")
    whole_fit = lightning_module.fit

    def power_cut(stack, patients, **settings):
        if settings["first_epoch"] == 1:
            raise RuntimeError("power cut")
        return whole_fit(stack, patients, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(lightning_module, "fit", power_cut)
        with pytest.raises(FederationError, match="power cut"):
            federate(cohort, plan, "broken")
    resumed = federate(cohort, plan, "broken")
    again = federate(cohort, plan, "broken")  # all rounds are there: nothing is trained
    assert resumed.resumed_after == 1
    assert again.resumed_after == len(load_rounds(fresh.rounds_folder, upto=8))
    for other in (resumed, again):
        assert difference(arrays(fresh), arrays(other)) == 0.0


def test_secure_sums_stop_where_plain_ones_do(cohort, make_plan):
    table = cohort.table.assign(centre=np.resize(["CLB", "IB", "Lille"], len(cohort.table)))
    three = dataclasses.replace(cohort, table=table, folder=cohort.folder / "three")
    plan = make_plan(rounds=ROUNDS, centres=("CLB", "IB", "Lille"), **FULL_STEP, **EARLY)
    plain = federate(three, plan, "plain")
    secure = federate(three, dataclasses.replace(plan, secure_sum=True), "secure")
    rounds = [load_rounds(run.rounds_folder, upto=ROUNDS) for run in (plain, secure)]
    assert len(rounds[0]) == len(rounds[1]) < ROUNDS
    assert difference(arrays(plain), arrays(secure)) < 1e-4


def test_private_training_tells_no_loss_to_stop_on(make_plan):
    with pytest.raises(FederationError, match="private training tells none"):
        dataclasses.replace(make_plan(**EARLY), strategy=strategy_config("patient_private"))


def test_the_loss_is_that_of_all_stopping_patients_and_a_member_needs_one():
    told = [
        {LOSS: np.array([6.0, 0.0]), PATIENTS: np.array([3.0, 0.0])},
        {LOSS: np.array([1.0, 0.0]), PATIENTS: np.array([1.0, 0.0])},
    ]
    found = mean_loss(told)
    np.testing.assert_array_equal(found[LOSS], [7 / 4, np.nan])
    ended = FinishedRound(1, {"w": np.zeros((2, 1), np.float32)}, [], [], found)
    with pytest.raises(SarcnetError, match=r"Members \[1\] have no patient to decide"):
        best_rounds([ended], patience=2)
