"""Messages of half the size: what rounding costs, and that errors do not add up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sarcnet.federated.app.ledger import traffic
from sarcnet.federated.app.records import rounded
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.strategies import STRATEGIES, strategy_config

NPY_HEADER = 128  # bytes before the numbers of every array, whatever their type


def federate(cohort, plan, name):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def test_rounding_keeps_its_promise_and_refuses_to_hide_an_overflow():
    values = np.concatenate([10.0 ** np.linspace(-9, 4, 500), [0.0]]).astype(np.float32)
    off = np.abs(rounded({"w": values}, dtype="float16")["w"].astype(np.float64) - values)
    assert (off <= np.maximum(values * 2.0**-11, 2.0**-25)).all()
    assert np.isinf(rounded({"w": np.array([1e6], np.float32)}, dtype="float16")["w"]).all()
    assert rounded({"w": values}, dtype="float32")["w"] is not None
    np.testing.assert_array_equal(rounded({"w": values}, dtype="float32")["w"], values)


@pytest.mark.parametrize("name", ["fedavg", "fedyogi", "scaffold", "cyclic"])
def test_half_the_bytes_and_nearly_the_same_model(cohort, make_plan, name):
    exact = dataclasses.replace(make_plan(rounds=6, optimizer="sgd"), strategy=strategy_config(name))
    half = dataclasses.replace(exact, message_dtype="float16")
    one, other = federate(cohort, exact, "exact"), federate(cohort, half, "half")
    a, b = one.model.network.parameter_arrays(), other.model.network.parameter_arrays()
    off = max(float(np.abs(a[k] - b[k]).max()) for k in a)
    assert 0 < off < 2e-3
    weights = lambda run: run.messages[  # noqa: E731
        (run.messages["message"] == "train") & run.messages["record"].isin(["arrays", "control"])
    ]
    numbers = lambda run: (weights(run)["bytes"] - NPY_HEADER).sum()  # noqa: E731
    assert numbers(other) * 2 == numbers(one)
    assert set(weights(other)["dtype"]) == {"float16"}


def test_the_server_keeps_steps_that_float16_could_not_add(cohort, make_plan):
    """Steps far below the spacing of float16 weights still move the model: only what travels is rounded."""
    tiny = {"optimizer": "sgd", "learning_rate": 1e-5, "rounds": 3}
    exact = federate(cohort, make_plan(**tiny), "exact").model.network.parameter_arrays()
    half = dataclasses.replace(make_plan(**tiny), message_dtype="float16")
    found = federate(cohort, half, "half").model.network.parameter_arrays()
    start = federate(cohort, make_plan(**(tiny | {"learning_rate": 1e-12})), "start").model.network.parameter_arrays()
    moved = exact["image_weight"] - start["image_weight"]
    assert 0 < np.abs(moved).max() < 1e-3
    np.testing.assert_allclose(found["image_weight"] - start["image_weight"], moved, atol=0.02 * np.abs(moved).max())


def test_the_default_network_stays_below_a_megabyte_each_way_of_a_round():
    """8 networks of 1280 features and an embedding of 32, counted array by array as the ledger does."""
    from sarcnet.federated.app.records import standardisation
    from sarcnet.model.network import StackedNetwork, StackShape

    stack = StackedNetwork(StackShape(8, 1280, 20, 32, 16, 7, competing_death=True))
    up = sum(a.nbytes for a in rounded(stack.parameter_arrays(), dtype="float16").values())
    down = up + sum(a.nbytes for a in standardisation(stack).values())
    assert up < down < 1e6


def test_an_unknown_type_is_refused(make_plan):
    with pytest.raises(FederationError, match="message_dtype is 'int8': choose float32 or float16"):
        dataclasses.replace(make_plan(), message_dtype="int8")


def test_every_strategy_can_be_told(make_plan):
    from sarcnet.federated.app.records import instructions, read_strategy

    for each in STRATEGIES.values():
        told = read_strategy(instructions(make_plan().protocol, strategy=dataclasses.replace(each, noise_seed=7)))
        assert told == dataclasses.replace(each, noise_seed=0)  # the server's secret is not told


def test_traffic_by_round_is_what_the_ledger_says(cohort, make_plan):
    run = federate(cohort, dataclasses.replace(make_plan(), message_dtype="float16"), "half")
    assert traffic(run.messages)["bytes"].sum() == run.messages["bytes"].sum()
