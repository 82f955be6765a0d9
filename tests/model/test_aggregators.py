"""The rules by which tiles count: held to loops written from their equations, and blind to order and padding."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.aggregators import AGGREGATORS, chowder
from sarcnet.model.crossval import make_folds, make_members
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import contributions, predict_scores
from sarcnet.model.protocol import build_stack
from sarcnet.model.training.experiment import Variant, cross_validate
from studies.bags import make_bags

MEMBERS = 2
ADDITIVE = [name for name in AGGREGATORS if AGGREGATORS[name].ADDITIVE]


def random_stack(data: SimpleNamespace, aggregator: str) -> StackedNetwork:
    members = make_members("m", folds=MEMBERS, repeats=1)
    stack = build_stack(data.protocol(aggregator=aggregator), members=members)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return stack


def loop_mean(q: dict[str, np.ndarray], values: np.ndarray) -> float:
    return sum(values) / len(values)


def loop_chowder(q: dict[str, np.ndarray], values: np.ndarray) -> float:
    falling = sorted(values, reverse=True)
    last = len(values) - 1
    top = sum(q["rank_top"][i] * falling[min(i, last)] for i in range(chowder.EXTREMES))
    return top + sum(q["rank_bottom"][i] * falling[::-1][min(i, last)] for i in range(chowder.EXTREMES))


@pytest.mark.parametrize(("aggregator", "loop"), [("mean", loop_mean), ("chowder", loop_chowder)])
@pytest.mark.parametrize("tiles", [1, 3, 8, 25])
def test_image_score_is_that_of_a_plain_loop(data: SimpleNamespace, aggregator: str, loop, tiles: int) -> None:
    stack = random_stack(data, aggregator)
    bag = np.random.default_rng(tiles).normal(size=(tiles, 12)).astype(np.float32)
    clinical = torch.zeros(1, stack.shape.clinical_dim)
    parts = stack.parts(torch.from_numpy(bag)[None], torch.ones(1, tiles, dtype=torch.bool), clinical)
    for e in range(MEMBERS):
        q = {name: array[e].astype(float) for name, array in stack.parameter_arrays().items()}
        h = np.maximum(bag @ q["tile_weight"].T / np.sqrt(12) + q["tile_bias"], 0)
        expected = loop(q, h @ q["image_weight"])
        assert parts.tile[0, :, e].sum().item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("aggregator", ADDITIVE)
def test_order_padding_and_company_do_not_matter(data: SimpleNamespace, aggregator: str) -> None:
    stack = random_stack(data, aggregator)
    _, patients = data.make_patients()
    scores = predict_scores(stack, patients)
    alone = np.concatenate([predict_scores(stack, patients.select(np.array([i]))) for i in range(8)])
    np.testing.assert_allclose(scores[:8], alone, atol=1e-4)
    turned = make_bags({p: patients.bags.of(i)[::-1] for i, p in enumerate(patients.patient_ids)}, feature_dim=12)
    mixed = Patients(turned, patients.clinical, patients.outcome, patients.centres)
    np.testing.assert_allclose(predict_scores(stack, mixed), scores, atol=1e-4)


@pytest.mark.parametrize("aggregator", ADDITIVE)
def test_empty_bag_and_padding_have_no_weight(data: SimpleNamespace, aggregator: str) -> None:
    stack = random_stack(data, aggregator)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    parts = stack.parts(torch.randn(2, 3, 12), mask, torch.zeros(2, stack.shape.clinical_dim))
    assert not parts.attention.detach()[~mask].any()
    assert not parts.tile.detach()[1].any()


@pytest.mark.parametrize("aggregator", ADDITIVE)
def test_every_aggregator_learns_the_signal_and_its_parts_add_up(data: SimpleNamespace, aggregator: str) -> None:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(aggregator=aggregator, epochs=25, learning_rate=0.02)
    result = cross_validate(protocol, patients=patients, folds=folds, variant=Variant("sarcnet_pooled"))
    losses = result.curves.groupby("epoch")["training_loss"].mean()
    assert losses.iloc[-1] < losses.iloc[0]
    score = predict_scores(result.trained.network, patients)
    use = np.ones_like(score, dtype=bool)
    parts = contributions(result.trained, patients, use=use)
    np.testing.assert_allclose(parts.scores["score"], score.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("aggregator", ADDITIVE)
def test_a_network_can_be_copied_and_sent_to_another_process(data: SimpleNamespace, aggregator: str) -> None:
    stack = random_stack(data, aggregator)
    _, patients = data.make_patients()
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        np.testing.assert_array_equal(predict_scores(other, patients), predict_scores(stack, patients))


def test_unknown_aggregator_is_refused_with_the_choices(data: SimpleNamespace) -> None:
    with pytest.raises(SarcnetError, match="aggregator is 'maximum': choose mean, abmil, chowder, transmil"):
        data.protocol(aggregator="maximum")
