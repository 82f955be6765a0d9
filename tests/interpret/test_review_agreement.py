"""Agreement: held against scikit-learn, against the printed example of Fleiss, and against loops that resample rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sarcnet.interpret.review.kappa import cluster_weights, cohen, fleiss, light, weighted_kappa, with_interval


def answers(n: int = 50, readers: int = 3, *, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 4, n)
    return np.clip(true[:, None] + generator.integers(-1, 2, (n, readers)), 0, 3)


def test_cohen_is_scikit_learns():
    found = answers()
    a, b = found[:, 0], found[:, 1]
    ours = cohen(a, b, np.ones((1, len(a))))[0]
    assert ours == pytest.approx(cohen_kappa_score(a, b, labels=range(4), weights="quadratic"))


def test_weights_are_repeated_rows_and_missing_answers_do_not_count():
    found = answers(seed=1)
    found[3, 0] = found[7, 1] = -1
    a, b = found[:, 0], found[:, 1]
    weights = cluster_weights(np.arange(50) // 5, samples=20, rng=np.random.default_rng(2))
    ours = cohen(a, b, weights)
    for row, value in zip(weights.astype(int), ours, strict=True):
        index = np.repeat(np.arange(50), row)
        index = index[(a[index] >= 0) & (b[index] >= 0)]
        assert value == pytest.approx(cohen_kappa_score(a[index], b[index], labels=range(4), weights="quadratic"))


def test_fleiss_of_the_printed_table_and_of_a_slow_loop():
    """The well-known table of 10 subjects, 14 raters and 5 categories gives 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    raw = np.array([np.repeat(np.arange(5), row) for row in table])
    assert fleiss(raw, np.ones((1, 10)), categories=5)[0] == pytest.approx(0.210, abs=5e-4)
    found = answers(seed=3)
    incomplete = np.vstack([found, [[0, -1, 3]]])
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    agree = np.mean([[row[a] == row[b] for a, b in pairs] for row in found])
    chance = sum(np.mean(found == category) ** 2 for category in range(4))
    expected = (agree - chance) / (1 - chance)
    assert fleiss(incomplete, np.ones((1, 51)))[0] == pytest.approx(expected)


def test_light_is_the_mean_over_pairs():
    found = answers(seed=4)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([cohen_kappa_score(found[:, a], found[:, b], weights="quadratic") for a, b in pairs])
    ours = light(found, np.ones((1, 50)))[0]
    assert ours == pytest.approx(expected)


def test_kappa_is_undefined_where_chance_agrees_fully_and_one_where_readers_do():
    assert np.isnan(weighted_kappa(np.diag([5, 0, 0, 0])))
    assert weighted_kappa(np.diag([5, 4, 0, 1])) == 1
    assert np.isnan(fleiss(np.zeros((6, 3), int), np.ones((1, 6)))[0])


def test_whole_patients_are_drawn():
    clusters = np.repeat(["a", "b", "c"], [1, 2, 3])
    weights = cluster_weights(clusters, samples=200, rng=np.random.default_rng(0))
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert ((weights[:, 0] + weights[:, 1] + weights[:, 3]) == 3).all()


def test_intervals_cover_the_kappa_that_the_readers_error_implies():
    """Two readers who see the truth with probability 0.7 and guess otherwise: κ = 0.49 for categories of equal share."""
    covered = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        true = generator.integers(0, 4, 80)
        seen = [np.where(generator.random(80) < 0.7, true, generator.integers(0, 4, 80)) for _ in range(2)]
        found = with_interval(
            lambda weights, a=seen[0], b=seen[1]: cohen(a, b, weights),
            used=np.ones(80, bool), clusters=np.arange(80), samples=300, level=0.95, rng=generator,
        )  # fmt: skip
        covered.append(found.low <= 0.49 <= found.high)
        assert (found.tiles, found.patients) == (80, 80)
    assert 0.88 <= np.mean(covered) <= 1.0


def test_one_patient_or_no_tile_gives_no_interval():
    found = answers(10)
    settings = {"samples": 50, "level": 0.95, "rng": np.random.default_rng(0)}
    rows = {"statistic": lambda w: fleiss(found, w), "clusters": ["p"] * 10}
    one = with_interval(used=np.ones(10, bool), **rows, **settings)
    none = with_interval(used=np.zeros(10, bool), **rows, **settings)
    assert np.isfinite(one.value)
    assert np.isnan(one.low)
    assert np.isnan(none.value)
    assert none.tiles == 0
