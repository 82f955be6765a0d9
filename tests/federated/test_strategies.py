"""Every strategy against a slow one in plain loops, and in the whole app."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.aggregate import combine, noise_std, server_step
from sarcnet.federated.app.local_trainers import hooked, pull_to
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.federated.privacy.clipping import clip, norms
from sarcnet.federated.strategies import STRATEGIES, StrategyConfig, strategy_config
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.lightning_module import fit

HOSPITALS, MEMBERS = 4, 3


@pytest.fixture
def updates():
    generator = np.random.default_rng(1)
    own = [{"w": generator.normal(size=(MEMBERS, 2, 5)), "b": generator.normal(size=MEMBERS)} for _ in range(HOSPITALS)]
    return own, [generator.integers(1, 50, MEMBERS).astype(float) for _ in range(HOSPITALS)]


def elements(own):
    """(array name, member, place) of every number."""
    return [(name, e, i) for name, a in own[0].items() for e in range(MEMBERS) for i in range(a[e].size)]


@pytest.mark.parametrize("name", ["fedavg", "median", "trimmed_mean"])
def test_combining_equals_plain_loops(name, updates):
    own, patients = updates
    found = combine(strategy_config(name), own=own, patients=patients, round=1)
    for array, e, i in elements(own):
        values = [float(np.ravel(u[array][e])[i]) for u in own]
        n = [float(p[e]) for p in patients]
        ranked = sorted(values)
        expected = {
            "fedavg": sum(a * b for a, b in zip(values, n, strict=True)) / sum(n),
            "median": (ranked[1] + ranked[2]) / 2,
            "trimmed_mean": (ranked[1] + ranked[2]) / 2,  # of four, the two in the middle
        }[name]
        assert np.ravel(found[array][e])[i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_server_steps_equal_plain_loops(name):
    """Algorithm 2 of Reddi et al. (ICLR 2021), three rounds of one number a time."""
    chosen = strategy_config(name, server_rate=0.3, beta1=0.8, beta2=0.7, adaptivity=0.05)
    deltas = np.random.default_rng(2).normal(size=(3, 4))
    weights, memory = {"w": np.zeros((1, 4), np.float32)}, {}
    for delta in deltas:
        weights, memory = server_step(chosen, weights=weights, change={"w": delta[None]}, state=memory)
    for i in range(4):
        x, m, v = 0.0, 0.0, 0.05**2
        for delta in deltas[:, i]:
            m = 0.8 * m + 0.2 * delta
            sign = 1 if v > delta**2 else -1
            v = 0.7 * v + 0.3 * delta**2 if name == "fedadam" else v - 0.3 * delta**2 * sign
            x += 0.3 * m / (v**0.5 + 0.05)
        assert weights["w"][0, i] == pytest.approx(x, rel=1e-5)


def test_clipping_shortens_long_changes_only(updates):
    change = updates[0][0]
    long = norms(change)
    for e in range(MEMBERS):
        flat = np.concatenate([np.ravel(a[e]) for a in change.values()])
        assert long[e] == pytest.approx(float(np.sqrt(sum(float(x) ** 2 for x in flat))))
    limit = float(np.median(long))
    short = clip(change, norm=limit)
    np.testing.assert_allclose(norms(short), np.minimum(long, limit), rtol=1e-12)
    for e in np.flatnonzero(long <= limit):
        np.testing.assert_array_equal(short["w"][e], change["w"][e])
    zero = {"w": np.zeros((2, 3))}
    np.testing.assert_array_equal(clip(zero, norm=1.0)["w"], zero["w"])


def test_a_poisoned_update_moves_the_mean_but_not_the_robust_means(updates):
    own, patients = updates
    poisoned = [*own[:-1], {name: 1e6 * np.ones_like(a) for name, a in own[-1].items()}]

    def moved(chosen: StrategyConfig) -> float:
        before, after = (combine(chosen, own=u, patients=patients, round=1) for u in (own, poisoned))
        return float(max(np.abs(before[k] - after[k]).max() for k in before))

    assert moved(strategy_config("fedavg")) > 1e4
    for robust in (
        strategy_config("median"),
        strategy_config("trimmed_mean"),
        strategy_config("fedavg", clip_norm=1.0),
    ):
        assert moved(robust) < 5, robust.name


def test_noise_has_the_promised_spread_and_is_the_same_twice():
    chosen = strategy_config("fedavg", clip_norm=2.0, noise_multiplier=3.0, noise_seed=5)
    own = [{"w": np.zeros((2, 20000))} for _ in range(2)]
    patients = [np.array([30.0, 10.0]), np.array([10.0, 10.0])]
    noised = combine(chosen, own=own, patients=patients, round=1)["w"]
    np.testing.assert_allclose(noise_std(chosen, patients=patients), [3 * 2 * 0.75, 3 * 2 * 0.5])
    np.testing.assert_allclose(noised.std(axis=1), [4.5, 3.0], rtol=0.02)
    np.testing.assert_array_equal(noised, combine(chosen, own=own, patients=patients, round=1)["w"])
    assert not np.array_equal(noised, combine(chosen, own=own, patients=patients, round=2)["w"])


def federate(cohort, plan, name):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def difference(one, other):
    a, b = one.model.network.state_dict(), other.model.network.state_dict()
    return max(float((a[k] - b[k]).abs().max()) for k in a)


def test_every_strategy_trains_resumes_and_is_the_same_twice(cohort, make_plan):
    found = {}
    for name in STRATEGIES:
        plan = dataclasses.replace(make_plan(rounds=2), strategy=strategy_config(name))
        found[name] = federate(cohort, plan, f"{name}-1")
        assert sorted(zip(found[name].rounds["round"], found[name].rounds["hospital"], strict=True)) == [
            (1, "CLB"),
            (1, "IB"),
            (2, "CLB"),
            (2, "IB"),
        ]
        federate(cohort, dataclasses.replace(plan, rounds=1), f"{name}-2")
        resumed = federate(cohort, plan, f"{name}-2")
        assert resumed.resumed_after == 1
        assert difference(found[name], resumed) == 0.0, name
    for name in ("fedprox", "fedadam", "fedyogi", "cyclic"):
        assert difference(found["fedavg"], found[name]) > 1e-4, name


def test_a_cycle_is_training_at_one_hospital_after_the_other(cohort, make_plan):
    plan = dataclasses.replace(make_plan(rounds=2, local_epochs=1), strategy=strategy_config("cyclic"))
    run = federate(cohort, plan, "cycle")
    folders = cohort.hospitals()
    own = [read_hospital(folders[name], protocol=plan.protocol) for name in plan.hospitals]
    stack = build_stack(plan.protocol, members=plan.members)
    sums = [training_statistics(h.patients, weights=h.weights) for h in own]
    apply_statistics(stack, sums[0] + sums[1])
    for round in range(2):
        for h in own:
            fit(stack, h.patients, weights=h.weights, protocol=plan.protocol, epochs=1, first_epoch=round)
    trained = stack.parameter_arrays()
    for name in ("tile_weight", "image_weight", "clinical_weight"):
        found = run.model.network.parameter_arrays()[name]
        np.testing.assert_allclose(found, trained[name], rtol=0, atol=1e-6)  # a change in float32 rounds the last digit


def test_the_pull_of_fedprox_is_the_gradient_of_its_term():
    """Two steps of plain gradient descent, by hand: the first is not pulled, the second is."""
    network = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, -2.0]]))
    x, rate, mu = np.array([0.5, 3.0]), 0.1, 0.7
    expected = start = np.array([1.0, -2.0])
    for _ in range(2):
        expected = expected - rate * (2 * (expected @ x) * x + mu * (expected - start))
    optimiser = torch.optim.SGD(network.parameters(), lr=rate)
    with hooked(network, [("weight", pull_to(network.weight, mu))]):
        for _ in range(2):
            optimiser.zero_grad()
            network(torch.tensor(x, dtype=torch.float32)).square().sum().backward()
            optimiser.step()
    np.testing.assert_allclose(network.weight.detach().numpy()[0], expected, rtol=1e-5)
    optimiser.zero_grad()
    network(torch.zeros(2)).sum().backward()
    assert float(network.weight.grad.abs().max()) == 0.0  # nothing pulls after the block


def test_a_stronger_pull_stays_nearer(cohort, make_plan):
    norm = {}
    for mu in (0.0, 1.0, 100.0):
        plan = dataclasses.replace(
            make_plan(rounds=1, local_epochs=3, optimizer="sgd"), strategy=strategy_config("fedprox", proximal=mu)
        )
        norm[mu] = federate(cohort, plan, f"mu{mu:g}").rounds["change_norm"].max()
    assert norm[0.0] > norm[1.0] > norm[100.0]


def test_strategies_that_make_no_sense_are_refused():
    with pytest.raises(SarcnetError, match="no strategy 'fedsgd': choose fedavg, fedprox"):
        strategy_config("fedsgd")
    with pytest.raises(SarcnetError, match="noise_multiplier without clip_norm protects nobody"):
        strategy_config("fedavg", noise_multiplier=1.0)
    with pytest.raises(SarcnetError) as error:
        strategy_config("fedadam", proximal=-1.0, beta1=1.0, server_rate=0.0)
    for part in ("proximal is -1", "beta1 is 1", "needs server_rate"):
        assert part in str(error.value)
