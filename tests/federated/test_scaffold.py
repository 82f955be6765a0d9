"""SCAFFOLD: a correction that cancels over hospitals, the optimum FedAvg misses, and a memory that survives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sarcnet.federated.app.local_trainers import ScaffoldTrainer, hooked, mean_gradient, shift_by
from sarcnet.federated.app.records import to_record
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.lightning_module import fit

FULL_STEP = {"optimizer": "sgd", "batch_patients": 1000, "tiles_per_bag": 0, "learning_rate": 0.1, "weight_decay": 0.1}


def federate(cohort, plan, name):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def difference(one, other):
    a, b = one.model.network.parameter_arrays(), other.model.network.parameter_arrays()
    return max(float(np.abs(a[k] - b[k]).max()) for k in a)


@pytest.fixture
def scaffold(make_plan):
    def make(**settings):
        return dataclasses.replace(make_plan(**settings), strategy=strategy_config("scaffold"))

    return make


def test_with_one_full_step_the_corrections_cancel_and_scaffold_is_fedavg(cohort, make_plan, scaffold):
    """Σ n_k (g_k - c_k + c) / n = Σ n_k g_k / n, as c is the mean of all c_k: full participation, one step."""
    plain = federate(cohort, make_plan(rounds=3, **FULL_STEP), "fedavg")
    assert difference(plain, federate(cohort, scaffold(rounds=3, **FULL_STEP), "scaffold")) < 2e-6
    longer = FULL_STEP | {"rounds": 3, "local_epochs": 4}
    one, other = federate(cohort, make_plan(**longer), "fedavg 4"), federate(cohort, scaffold(**longer), "scaffold 4")
    assert difference(one, other) > 1e-3  # with more steps at home they do differ


def test_several_steps_are_algorithm_1_written_out(cohort, scaffold):
    """Plain loops over one tensor at a time: x, c, c_k of Karimireddy et al., option I."""
    plan = scaffold(rounds=2, local_epochs=3, **(FULL_STEP | {"weight_decay": 0.0}))
    found = federate(cohort, plan, "scaffold").model.network
    homes = [read_hospital(f, protocol=plan.protocol) for f in cohort.hospitals().values()]
    stack = build_stack(plan.protocol, members=plan.members)
    sums = [training_statistics(h.patients, weights=h.weights) for h in homes]
    apply_statistics(stack, sums[0] + sums[1])
    x = stack.parameter_arrays()
    rates = {k: plan.protocol.learning_rate * (plan.protocol.embedding_rate if k == "tile_weight" else 1) for k in x}
    c = {k: np.zeros_like(a) for k, a in x.items()}
    own = [c, c]
    share = np.stack([h.weights.sum(axis=0) for h in homes]) / np.sum([h.weights.sum(axis=0) for h in homes], axis=0)
    by = lambda s, a: s.reshape(-1, *[1] * (a.ndim - 1)) * a  # noqa: E731
    for _ in range(2):
        ends, new = [], []
        for k, h in enumerate(homes):
            y = dict(x)
            for step in range(3):
                stack.load_parameter_arrays(y)
                g = mean_gradient(stack, h.patients, weights=h.weights)
                if step == 0:
                    new.append(g)
                y = {name: y[name] - rates[name] * (g[name] - own[k][name] + c[name]) for name in y}
            ends.append(y)
        x = {name: sum(by(share[k], ends[k][name]) for k in range(2)) for name in x}
        own, c = new, {name: sum(by(share[k], new[k][name]) for k in range(2)) for name in x}
    for name in ("tile_weight", "image_weight", "clinical_weight"):
        np.testing.assert_allclose(found.parameter_arrays()[name], x[name], atol=5e-6, err_msg=name)


def test_the_gradient_is_that_of_the_training_itself(cohort, make_plan):
    plan = make_plan(**(FULL_STEP | {"weight_decay": 0.0}))
    home = read_hospital(cohort.hospitals()["IB"], protocol=plan.protocol)
    stack = build_stack(plan.protocol, members=plan.members)
    apply_statistics(stack, training_statistics(home.patients, weights=home.weights))
    before, gradient = stack.parameter_arrays(), mean_gradient(stack, home.patients, weights=home.weights)
    fit(stack, home.patients, weights=home.weights, protocol=plan.protocol, epochs=1)
    after = stack.parameter_arrays()
    for name in ("image_weight", "clinical_weight", "log_odds"):
        np.testing.assert_allclose((before[name] - after[name]) / 0.1, gradient[name], atol=2e-6, err_msg=name)


def test_fedavg_stops_beside_the_optimum_and_scaffold_in_it():
    """Two hospitals with parabolas of different width; theirs together has its minimum at 1.6 (Karimireddy, section 4)."""
    slopes, centres = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])
    optimum = float((slopes * centres).sum() / slopes.sum())

    def trained(scaffold: bool) -> float:
        x, c, own = 5.0, 0.0, [0.0, 0.0]
        for _ in range(60):
            ends, new = [], []
            for k in range(2):
                home = torch.nn.Linear(1, 1, bias=False)
                torch.nn.init.constant_(home.weight, x)
                new.append(float(slopes[k] * (x - centres[k])))
                step = torch.optim.SGD(home.parameters(), lr=0.1)
                turn = [("weight", shift_by(np.array([[c - own[k]]])))] if scaffold else []
                with hooked(home, turn):
                    for _ in range(10):
                        step.zero_grad()
                        (slopes[k] / 2 * (home.weight - centres[k]).square()).sum().backward()
                        step.step()
                ends.append(float(home.weight.detach()))
            x, c, own = float(np.mean(ends)), float(np.mean(new)), new
        return x

    assert trained(scaffold=True) == pytest.approx(optimum, abs=1e-4)
    assert abs(trained(scaffold=False) - optimum) > 0.2


def test_a_node_started_anew_within_a_run_says_what_it_lost(cohort, scaffold, monkeypatch):
    """The control variate stays at the hospital; when it is gone, the run ends, and goes on with the server's copy."""
    fresh = federate(cohort, scaffold(rounds=3), "fresh")
    forgets = lambda trainer: {"control": to_record(trainer.control)}  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(ScaffoldTrainer, "records", forgets)
        with pytest.raises(FederationError, match="round 2: This node was started again"):
            federate(cohort, scaffold(rounds=3), "broken")
    resumed = federate(cohort, scaffold(rounds=3), "broken")
    assert resumed.resumed_after == 1
    assert difference(fresh, resumed) == 0.0
    sent = resumed.messages[(resumed.messages["record"] == "own_control")]
    assert set(sent["round"]) == {2}  # once, to whom it belongs
