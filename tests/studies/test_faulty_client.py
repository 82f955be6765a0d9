"""The misbehaving node of the fire drill does what its configuration says, to training only; honest bundles never name it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from sarcnet.federated.app.records import from_record, to_record
from studies.fault_injection import faulty_client
from studies.local_federation.run import APP, CLIENT, Deployment

ARRAYS = {"image_weight": np.ones((2, 3), np.float32), "tile_bias": np.full((2, 4), 0.5, np.float32)}
LEARNING = {"patients": np.array([5.0, 6.0])}


def ask(kind: str, *, question: str = "train", **settings: float) -> dict[str, dict[str, np.ndarray]]:
    """Reply of a node with this configuration to one question."""
    message = SimpleNamespace(metadata=SimpleNamespace(message_type=question))
    node = {"spoil": kind, **settings} if kind else {}
    context = Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config={})

    def honest(message: object, context: Context) -> SimpleNamespace:
        records = {"arrays": to_record(ARRAYS), "learning": to_record(LEARNING)}
        return SimpleNamespace(content=RecordDict(records), has_error=lambda: False)

    reply = faulty_client.spoil(message, context, honest)
    return {name: from_record(record) for name, record in reply.content.array_records.items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_without_the_setting_and_for_other_questions_nothing_is_spoilt():
    for reply in (
        ask(""),
        ask(faulty_client.NOT_FINITE, question="query.statistics"),
        ask(faulty_client.SLOW, **{"spoil-s": 0.01}),
    ):
        assert same(reply["arrays"], ARRAYS)
        assert same(reply["learning"], LEARNING)


def test_each_kind_spoils_what_its_name_says():
    assert np.isnan(ask(faulty_client.NOT_FINITE)["arrays"]["image_weight"]).all()
    assert ask(faulty_client.OTHER_SHAPE)["arrays"]["image_weight"].shape == (2, 2)
    assert ask(faulty_client.NOBODY)["learning"]["patients"].tolist() == [0, 0]
    assert ask(faulty_client.POISON)["arrays"]["tile_bias"] == pytest.approx(500.0)
    assert same(ask(faulty_client.POISON)["learning"], LEARNING)


def test_only_the_drill_bundles_the_misbehaving_app(tmp_path):
    texts = {path: path.read_text() for path in APP.rglob("*") if path.suffix in (".py", ".toml")}
    assert not any("drill" in text for text in texts.values())
    honest = Deployment(None, 0, tmp_path / "honest")._app()
    assert CLIENT in (honest / "sarcnet_app" / "client.py").read_text()
    drilled = Deployment(None, 0, tmp_path / "drilled", client=faulty_client.__name__)._app()
    assert f"from {faulty_client.__name__} import app" in (drilled / "sarcnet_app" / "client.py").read_text()
