"""Beside Flower itself: its own strategies on a toy problem, and how much of its private parts the code touches."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, FedTrimmedAvg, FedYogi

from sarcnet.federated.app.aggregate import combine, server_step
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.strategies import strategy_config

ROOT = Path(__file__).resolve().parents[2]
#: Modules of Flower's API reference (flower.ai/docs/framework/ref-api); what they do not export is private.
PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation")
ROUNDS, HOSPITALS, RATE = 4, 5, 0.3
PATIENTS = (30.0, 12.0, 7.0, 55.0, 20.0)


def private_imports(path: Path) -> list[str]:
    """Imports of `flwr` in a file that are not of its public reference."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [(str(node.module), alias.name) for alias in node.names]
        else:
            continue
        found += [
            f"{module} {name}".strip()
            for module, name in names
            if module.split(".")[0] == "flwr" and not (module in (*PUBLIC, "flwr") and not name.startswith("_"))
        ]
    return found


def test_private_names_of_flower_are_in_one_file():
    folders = ("sarcnet", "virtual_cohort", "studies", "notebooks/src")
    files = {path.relative_to(ROOT).as_posix(): path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    touching = {name: found for name, path in files.items() if (found := private_imports(path))}
    assert set(touching) == {"sarcnet/federated/flower_internals.py"}, touching
    import importlib

    for module in PUBLIC:  # and the list is of modules that there are
        importlib.import_module(module)


def test_the_check_sees_every_kind_of_private_import(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import flwr.supercore.run\nfrom flwr.common.constant import ErrorCode\n"
        "from flwr.app import _private\nfrom flwr.app import Message\nimport flwr\n"
    )
    assert private_imports(file) == ["flwr.supercore.run", "flwr.common.constant ErrorCode", "flwr.app _private"]


@pytest.fixture
def hospitals():
    """Per round and hospital, the trained weights as a function of the received ones; one member, one array of 6."""
    generator = np.random.default_rng(8)
    targets = generator.normal(size=(HOSPITALS, 1, 6))
    InProcessGrid(lambda message, context: message, nodes=1)  # lets this process write messages
    return [lambda received, target=target: received + 0.7 * (target - received) for target in targets]


def by_flower(strategy: FedAvg, hospitals) -> np.ndarray:
    """The weights after the rounds under one of Flower's own strategies."""
    weights = np.zeros((1, 6), np.float32)
    for number in range(1, ROUNDS + 1):
        strategy.current_arrays = {"w": weights}  # what its configure_train does beside asking a grid for its nodes
        replies = []
        for train, n in zip(hospitals, PATIENTS, strict=True):
            arrays = ArrayRecord({"w": Array(train(weights))})
            content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": n})})
            replies.append(Message(content, dst_node_id=2, message_type="train"))
        arrays, _ = strategy.aggregate_train(number, replies)
        weights = arrays["w"].numpy().astype(np.float32)
    return weights


def by_sarcnet(hospitals, name: str, *, step=lambda number: 1.0, **settings) -> np.ndarray:
    """The same under ours, from changes; step: by which the server's rate is multiplied in a round."""
    chosen = strategy_config(name, **settings)
    weights, memory = {"w": np.zeros((1, 6), np.float32)}, {}
    patients = [np.array([n]) for n in PATIENTS]
    for number in range(1, ROUNDS + 1):
        own = [{"w": (train(weights["w"]) - weights["w"]).astype(np.float64)} for train in hospitals]
        change = combine(chosen, own=own, patients=patients, round=number)
        now = dataclasses.replace(chosen, server_rate=chosen.server_rate * step(number))
        weights, memory = server_step(now, weights=weights, change=change, state=memory)
    return weights["w"]


ADAPTIVE = {"beta1": 0.9, "beta2": 0.99, "adaptivity": 1e-6, "server_rate": RATE}
FLOWER_ADAPTIVE = {"beta_1": 0.9, "beta_2": 0.99, "tau": 1e-6, "eta": RATE}


@pytest.mark.parametrize(
    ("name", "settings", "flowers"),
    [
        ("fedavg", {}, lambda: FedAvg()),
        ("fedprox", {}, lambda: FedProx(proximal_mu=0.1)),
        ("median", {}, lambda: FedMedian()),
        ("trimmed_mean", {}, lambda: FedTrimmedAvg(beta=1 / HOSPITALS)),
        ("fedyogi", ADAPTIVE, lambda: FedYogi(**FLOWER_ADAPTIVE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_strategy_is_flowers_own(name, settings, flowers, hospitals):
    ours, theirs = by_sarcnet(hospitals, name, **settings), by_flower(flowers(), hospitals)
    assert np.abs(ours).max() > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_fedadam_is_reddis_and_flowers_is_that_times_a_correction(hospitals):
    """Algorithm 2 of Reddi et al. (ICLR 2021) has no bias correction; Flower's has, counting one round ahead."""
    theirs = by_flower(FedAdam(**FLOWER_ADAPTIVE), hospitals)
    corrected = lambda t: np.sqrt(1 - 0.99 ** (t + 1)) / (1 - 0.9 ** (t + 1))  # noqa: E731
    np.testing.assert_allclose(by_sarcnet(hospitals, "fedadam", step=corrected, **ADAPTIVE), theirs, rtol=1e-5)
    assert np.abs(by_sarcnet(hospitals, "fedadam", **ADAPTIVE) - theirs).max() > 0.1
    assert [round(float(corrected(t)), 2) for t in (1, 10, 30)] == [0.74, 0.47, 0.54]  # as `server_step` says


def test_an_old_node_is_refused_with_a_sentence(cohort, make_plan, monkeypatch):
    """A node of before messages had a version answers who it is, and would send weights where changes are added."""
    from sarcnet.federated.app import client_app

    monkeypatch.setattr(client_app, "config_record", lambda **values: ConfigRecord(values))
    with pytest.raises(FederationError, match="CLB and IB speak another version of the messages than this server"):
        simulate(make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "r", engine="inprocess")


def test_an_old_server_is_refused_by_the_node(cohort, make_plan, monkeypatch):
    from sarcnet.federated.app import grid

    monkeypatch.setattr(grid, "config_record", lambda **values: ConfigRecord(values))
    with pytest.raises(FederationError, match=r"The server's messages are of version 1, and this node reads version 2"):
        simulate(make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "r", engine="inprocess")
