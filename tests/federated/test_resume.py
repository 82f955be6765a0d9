"""A run that was broken off goes on behind its last finished round and ends where an unbroken one ends."""

from __future__ import annotations

import pytest

from sarcnet.compendium import cache_keys, code_dependencies
from sarcnet.federated.app.checkpoint import load_rounds, round_file
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.model.training import lightning_module


def federate(cohort, plan, name="rounds"):
    return simulate(
        plan, hospitals=cohort.hospitals(plan.protocol), rounds_folder=cohort.folder / name, engine="inprocess"
    )


def assert_same_run(one, other):
    a, b = one.model.network.state_dict(), other.model.network.state_dict()
    assert all(a[name].equal(b[name]) for name in a)
    assert one.messages.equals(other.messages)
    assert one.rounds.drop(columns="seconds").equals(other.rounds.drop(columns="seconds"))


def test_resumed_equals_fresh(cohort, make_plan, monkeypatch):
    fresh = federate(cohort, make_plan(rounds=4), "fresh")
    whole_fit = lightning_module.fit

    def power_cut(stack, patients, **settings):
        if patients.centres[0] == "IB" and settings["first_epoch"] == 2:
            raise RuntimeError("power cut")
        return whole_fit(stack, patients, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(lightning_module, "fit", power_cut)
        with pytest.raises(FederationError, match="round 3: RuntimeError: power cut"):
            federate(cohort, make_plan(rounds=4), "broken")
    trained_rounds = []

    def watched(stack, patients, **settings):
        trained_rounds.append(settings["first_epoch"] + 1)
        return whole_fit(stack, patients, **settings)

    monkeypatch.setattr(lightning_module, "fit", watched)
    resumed = federate(cohort, make_plan(rounds=4), "broken")
    assert resumed.resumed_after == 2
    assert trained_rounds == [3, 3, 4, 4]
    assert_same_run(resumed, fresh)


def test_a_finished_run_trains_nothing_again(cohort, make_plan):
    first = federate(cohort, make_plan())
    again = federate(cohort, make_plan())
    assert again.resumed_after == 2
    assert_same_run(first, again)


@pytest.mark.parametrize("spoil", ["model", "record"])
def test_a_damaged_round_is_made_again(cohort, make_plan, spoil):
    first = federate(cohort, make_plan(rounds=3))
    damaged = round_file(first.rounds_folder, 2)
    (damaged if spoil == "model" else damaged.with_suffix(".json")).write_bytes(b"not what was written")
    again = federate(cohort, make_plan(rounds=3))
    assert again.resumed_after == 1
    assert_same_run(first, again)


@pytest.mark.parametrize(
    "change",
    [{"local_epochs": 2}, {"learning_rate": 0.02}, {"seed": 4}, {"batch_patients": 9}, {"weight_decay": 0.0}],
    ids=str,
)
def test_rounds_of_other_settings_are_not_taken_up(cohort, make_plan, change):
    federate(cohort, make_plan(rounds=1))
    assert federate(cohort, make_plan(rounds=1, **change)).resumed_after == 0


def test_rounds_of_other_patients_are_not_taken_up(cohort, make_plan):
    federate(cohort, make_plan(rounds=1))
    cohort.table.loc[7, "age_years"] += 1
    assert federate(cohort, make_plan(rounds=1)).resumed_after == 0


@pytest.mark.parametrize(
    ("module", "taken_up"),
    [
        ("model/aggregators/abmil", 0),
        ("model/fusions/gated", 0),
        ("federated/app/strategy", 0),
        ("federated/analysis/widget", 1),
    ],
)
def test_rounds_of_other_code_are_not_taken_up(cohort, make_plan, monkeypatch, module, taken_up):
    federate(cohort, make_plan(rounds=1))
    path = code_dependencies.HOUSE / "sarcnet" / f"{module}.py"
    edited = code_dependencies.source(path) + "\nan_edit = 1\n"
    monkeypatch.setattr(code_dependencies, "_first_read", {**code_dependencies._first_read, path: edited})
    cache_keys.code_key.cache_clear()
    try:
        assert federate(cohort, make_plan(rounds=1)).resumed_after == taken_up
    finally:
        cache_keys.code_key.cache_clear()


def test_a_longer_training_goes_on_from_a_shorter_one(cohort, make_plan):
    fresh = federate(cohort, make_plan(rounds=3), "fresh")
    federate(cohort, make_plan(rounds=1))
    longer = federate(cohort, make_plan(rounds=3))
    assert longer.resumed_after == 1
    assert_same_run(longer, fresh)


def test_a_round_counts_only_with_its_record(cohort, make_plan):
    run = federate(cohort, make_plan(rounds=2))
    round_file(run.rounds_folder, 1).with_suffix(".json").unlink()
    assert load_rounds(run.rounds_folder, upto=2) == []
