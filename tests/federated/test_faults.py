"""A hospital that fails, is late, sends nonsense or is the wrong one ends the run with a sentence, soon."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from flwr.app import Error, Message, RecordDict

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app import local_training as at_hospital
from sarcnet.federated.app.client_app import app
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.records import config_record
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines import simulation
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.flower_internals import NODE_UNAVAILABLE
from sarcnet.model.training import lightning_module


def federate(cohort, plan, hospitals=None):
    folders = hospitals or cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=folders, rounds_folder=cohort.folder / "rounds", engine="inprocess")


def test_a_client_that_raises_is_named_with_its_cause(cohort, make_plan, monkeypatch):
    whole_fit = lightning_module.fit

    def fails_at_ib(stack, patients, **settings):
        if patients.centres[0] == "IB" and settings["first_epoch"] == 1:
            raise MemoryError("no room for the tiles")
        return whole_fit(stack, patients, **settings)

    monkeypatch.setattr(lightning_module, "fit", fails_at_ib)
    with pytest.raises(FederationError, match="Hospital IB could not do its part of round 2: MemoryError: no room"):
        federate(cohort, make_plan(rounds=3))


def test_a_damaged_file_is_a_sentence(cohort, make_plan):
    folders = cohort.hospitals()
    (folders["CLB"] / "folds.parquet").write_bytes(b"")
    with pytest.raises(
        FederationError,
        match=r"Hospital CLB could not do its part of round 0: the hospital's folder/folds.parquet cannot be read",
    ) as error:
        federate(cohort, make_plan(), folders)
    assert str(cohort.folder) not in str(error.value)


def test_numbers_that_are_not_finite_are_refused(cohort, make_plan, monkeypatch):
    def broken(stack, patients, **settings):
        with np.errstate(all="ignore"):
            stack.image_weight.data.fill_(float("nan"))
        members = np.arange(stack.shape.members)
        return pd.DataFrame({"epoch": 0, "member": members, "training_loss": 1.0, "heldout_loss": 1.0})

    monkeypatch.setattr(lightning_module, "fit", broken)
    with pytest.raises(
        FederationError, match=r"Hospital CLB sent in round 1 numbers that are not finite \(image_weight\)"
    ):
        federate(cohort, make_plan())


def test_the_wrong_hospital_is_refused(cohort, make_plan):
    folders = cohort.hospitals()
    with pytest.raises(FederationError, match="The plan is for the hospitals CLB, IB, but the nodes are IB, IB"):
        federate(cohort, make_plan(), {"CLB": folders["IB"], "IB": folders["IB"]})


class Silent(InProcessGrid):
    """A network on which the second hospital never answers training."""

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        numbers = super().push_messages(messages)
        if messages[0].metadata.message_type == "train":
            self.replies.pop(numbers[1])
        return numbers


def test_a_hospital_that_does_not_answer_is_named_at_the_deadline(cohort, make_plan, monkeypatch):
    monkeypatch.setattr(simulation, "InProcessGrid", Silent)
    plan = dataclasses.replace(make_plan(), deadline_s=0.3)
    with pytest.raises(
        FederationError, match=r"Hospital IB did not answer in round 1: no reply within 0 s\. Finished rounds"
    ):
        federate(cohort, plan)


def test_nobody_waits_for_a_hospital_that_never_connects(make_plan):
    grid = InProcessGrid(app, nodes=1)
    with pytest.raises(FederationError, match=r"Only 1 of 2 hospitals connected within 0 s: start every node"):
        LoggingGrid(grid).wait_for_nodes(make_plan().hospitals, deadline_s=0.2)


class Dead(InProcessGrid):
    """An engine that takes messages and never does anything with them."""

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        return [f"lost-{i}" for i, _ in enumerate(messages)]


def test_nobody_waits_for_an_engine_that_broke_down():
    stop = threading.Event()
    grid = LoggingGrid(Dead(app, nodes=2), stop=stop)
    grid.hospitals = {2: "CLB", 3: "IB"}
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(
        FederationError, match="Hospital CLB and IB did not answer in round 0: the simulation broke down"
    ):
        grid.send_and_receive(grid.messages("train", RecordDict({"config": config_record()})), timeout=3600)
    assert time.monotonic() - started < 600


def test_messages_cannot_pass_the_ledger_by(make_plan):
    grid = LoggingGrid(InProcessGrid(app, nodes=1))
    with pytest.raises(NotImplementedError, match="ledger"):
        grid.push_messages([])
    with pytest.raises(NotImplementedError, match="ledger"):
        grid.pull_messages([])


def test_a_node_without_a_folder_says_so(make_plan):
    with pytest.raises(FederationError, match="This node has no data-path in its node configuration"):
        LoggingGrid(InProcessGrid(app, nodes=2)).wait_for_nodes(make_plan().hospitals, deadline_s=300)


def test_an_unknown_engine_is_refused(cohort, make_plan):
    with pytest.raises(SarcnetError, match="federation_engine is 'spark': choose ray or inprocess"):
        simulate(make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="spark")


class ComesBackLate(InProcessGrid):
    """The second node is listed from the start but reachable only from the third message on."""

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        numbers = super().push_messages(messages)
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked < 3:
            gone = Error(NODE_UNAVAILABLE, "Node Unavailable")
            self.replies[numbers[-1]] = Message(gone, reply_to=messages[-1])
        return numbers


def test_a_node_that_is_listed_but_not_back_yet_is_asked_again(cohort, make_plan, monkeypatch):
    monkeypatch.setattr("sarcnet.federated.app.grid.ASK_AGAIN_S", 0.01)
    untroubled = federate(cohort, make_plan())
    monkeypatch.setattr(simulation, "InProcessGrid", ComesBackLate)
    troubled = simulate(
        make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "again", engine="inprocess"
    )
    assert troubled.messages.equals(untroubled.messages)


def test_a_node_that_does_not_come_back_ends_the_run_at_the_deadline(cohort, make_plan, monkeypatch):
    monkeypatch.setattr("sarcnet.federated.app.grid.ASK_AGAIN_S", 0.05)
    monkeypatch.setattr(simulation, "InProcessGrid", type("Gone", (ComesBackLate,), {"asked": -1000000}))
    with pytest.raises(FederationError, match="round 0: Node Unavailable"):
        federate(cohort, dataclasses.replace(make_plan(), start_deadline_s=0.3))


def test_arrays_of_another_shape_are_refused(cohort, make_plan, monkeypatch):
    whole = at_hospital.reply_with

    def shorter(message, protocol, *, arrays, **records):
        arrays = dict(arrays) | ({"tile_bias": arrays["tile_bias"][:, :3]} if records else {})
        return whole(message, protocol, arrays=arrays, **records)

    monkeypatch.setattr(at_hospital, "reply_with", shorter)
    with pytest.raises(
        FederationError, match=r"CLB sent in round 1 arrays that do not fit .*tile_bias \(2, 3\) instead"
    ):
        federate(cohort, make_plan())


@pytest.mark.parametrize("lie", [0.0, float("nan"), -5.0])
def test_numbers_of_patients_that_cannot_be_are_refused(cohort, make_plan, monkeypatch, lie):
    whole = at_hospital.reply_with

    def lies(message, protocol, *, arrays, **records):
        if "learning" in records:
            records["learning"] = dict(records["learning"]) | {"patients": np.array([lie, 9.0])}
        return whole(message, protocol, arrays=arrays, **records)

    monkeypatch.setattr(at_hospital, "reply_with", lies)
    with pytest.raises(FederationError, match="Hospital CLB sent in round 1 the numbers of training patients"):
        federate(cohort, make_plan())


def test_a_hospital_whose_fold_leaves_no_patient_says_so(cohort, make_plan):
    folders = cohort.hospitals()
    folds = pd.read_parquet(folders["IB"] / "folds.parquet")
    folds.assign(fold=0).to_parquet(folders["IB"] / "folds.parquet")
    with pytest.raises(FederationError, match=r"Hospital IB could not do its part of round 1: Members .0. have no"):
        federate(cohort, make_plan(), folders)
