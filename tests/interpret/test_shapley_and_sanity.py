"""Shapley values by the formula and by all orders; maps that depend on what was learnt, and follow the features."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch

from sarcnet.interpret.attribution import sanity, shapley
from sarcnet.interpret.attribution.shapley import Compared, compare_with_shapley, shapley_values
from sarcnet.model.bags import Bags
from sarcnet.model.crossval import Member
from sarcnet.model.hazard import intervals
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack

N, D = 6, 7


@pytest.fixture
def patients() -> Patients:
    """Six patients with 8 tiles, but the last with 3."""
    g = np.random.default_rng(0)
    sizes = np.array([8] * (N - 1) + [3])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ids = tuple(f"P{k}" for k in range(N))
    tiles = pd.DataFrame({"slide_id": np.repeat(ids, sizes), "tile": np.concatenate([np.arange(s) for s in sizes])})
    tiles["x_px"] = tiles["y_px"] = 0
    bags = Bags(ids, g.standard_normal((offsets[-1], D)).astype(np.float32), offsets, tiles)
    outcome = intervals(np.full(N, 70.0), np.zeros(N), edges_months=[60.0])
    return Patients(bags, np.zeros((N, 2), np.float32), outcome, ("CLB",) * N)


def stack(aggregator: str) -> TrainedStack:
    """Two members with random weights everywhere."""
    network = StackedNetwork(StackShape(2, D, 2, 5, 4, 1, image=True, clinical=True, aggregator=aggregator))
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.data.normal_()
    protocol = type("Protocol", (), {"clinical_variables": ("age_years",)})()
    return TrainedStack(protocol, (Member("m", 0, 0), Member("m", 0, 1)), network.eval())


def test_formula_is_the_mean_over_all_orders():
    worth = np.random.default_rng(2).standard_normal(2**4)
    worth[0] = 0.0
    slow = np.zeros(4)
    for order in permutations(range(4)):
        there = 0
        for tile in order:
            slow[tile] += worth[there | 1 << tile] - worth[there]
            there |= 1 << tile
    assert shapley_values(worth) == pytest.approx(slow / 24)
    assert shapley_values(worth).sum() == pytest.approx(worth[-1])


def test_parts_and_values_both_sum_to_the_score(patients):
    use = np.ones((N, 2))
    use[0, 1] = 0  # the first patient is explained by member 0 alone
    found = compare_with_shapley(stack("abmil"), patients, use=use, tiles=6)
    assert found.parts.shape == (N - 1, 6)  # the last patient has too few tiles
    assert found.values.sum(axis=1) == pytest.approx(found.score, abs=1e-5)
    assert not np.allclose(found.parts, found.values)  # attention is shared out anew
    assert "5 bags of 6 tiles" in found.sentence
    with pytest.raises(ValueError, match="must be 2 to"):
        compare_with_shapley(stack("abmil"), patients, use=use, tiles=20)


def test_two_tiles_of_a_mean_by_hand(patients):
    """v({t}) = s_t and v(both) = (s_1 + s_2) / 2 give φ_1 = (3 s_1 - s_2) / 4, the part is s_1 / 2."""
    found = compare_with_shapley(stack("mean"), patients, use=np.ones((N, 2)), tiles=2)
    one, other = 2 * found.parts[:, 0], 2 * found.parts[:, 1]
    assert found.values[:, 0] == pytest.approx((3 * one - other) / 4, abs=1e-5)


def test_whether_parts_may_be_read_as_shapley_values_follows_the_numbers():
    values = np.arange(16.0).reshape(2, 8)
    same = shapley.Compared(values * 2, values, values.sum(axis=1))
    turned = shapley.Compared(-values, values, values.sum(axis=1))
    assert "0.9 or more: in 2 of 2 bags" in same.sentence
    assert "0.9 or more: in 0 of 2 bags" in turned.sentence


def test_nobody_with_enough_tiles_is_said():
    nobody = Compared(np.zeros((0, 5)), np.zeros((0, 5)), np.zeros(0))
    assert nobody.sentence.startswith("No patient has enough tiles")


def test_cascade_reaches_every_array_of_the_image():
    network = stack("abmil").network
    last = list(sanity.cascade(network).values())[-1]
    assert set(last) == {name for name, _ in network.named_parameters()} - {"clinical_weight", "log_odds"}
    assert len(sanity.cascade(stack("mean").network)) == 2


def test_shuffling_keeps_the_numbers_and_members_apart():
    model = stack("abmil")
    random = sanity.shuffled_network(model, names=("tile_weight",), rng=np.random.default_rng(0))
    before, after = (m.network.parameter_arrays() for m in (model, random))
    assert not np.array_equal(before["tile_weight"], after["tile_weight"])
    for member in range(2):
        assert np.array_equal(
            np.sort(before["tile_weight"][member].ravel()), np.sort(after["tile_weight"][member].ravel())
        )
    assert np.array_equal(before["image_weight"], after["image_weight"])


def test_maps_follow_the_features_and_are_lost_with_the_weights(patients):
    model, use = stack("abmil"), np.ones((N, 2))
    result = sanity.map_similarity(model, patients, use=use, repeats=8, rng=np.random.default_rng(0))
    found = result.table
    assert found["n"].unique().tolist() == [N - 1]
    table = result.summary["likeness of the map"]
    assert table.abs().max() < 0.5
    assert sanity._alike(*[sanity._map(model, patients, use=use)] * 2) == (pytest.approx(1.0), N - 1)
    assert "show what was learnt" in result.sentence
    assert "read them with care" in sanity.MapSimilarity(found.assign(correlation=0.9)).sentence
    assert "the map moves with the features" in result.sentence
    stays = found["correlation"].where(found["check"] != sanity.SWAPPED, 0.8)
    assert "the map hardly moves" in sanity.MapSimilarity(found.assign(correlation=stays)).sentence
    swapped = sanity.swapped_tiles(patients, rng=np.random.default_rng(5))
    for k in range(N):  # the same features, in other places
        assert np.array_equal(np.sort(patients.bags.of(k), axis=0), np.sort(swapped.bags.of(k), axis=0))
