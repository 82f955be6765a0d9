"""Moments add over hospitals and describe exactly the training patients."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from sarcnet.model.moments import table_moments, tile_moments
from sarcnet.model.statistics import TrainingStatistics, training_statistics


def weights(n: int) -> np.ndarray:
    return (np.random.default_rng(5).random((n, 3)) < 0.7).astype(np.float32)


def test_tile_moments_are_those_of_the_training_tiles(data: SimpleNamespace) -> None:
    _, bags = data.make_cohort()
    w = weights(len(bags))
    moments = tile_moments(bags, w)
    for e in range(3):
        tiles = np.concatenate([bags.of(i) for i in np.flatnonzero(w[:, e])]).astype(np.float64)
        np.testing.assert_allclose(moments.mean[e], tiles.mean(axis=0))
        np.testing.assert_allclose(moments.inverse_std[e], 1 / tiles.std(axis=0))


def test_missing_values_do_not_count() -> None:
    values = np.array([[1.0, 5.0], [np.nan, 5.0], [3.0, 5.0], [100.0, 100.0]])
    moments = table_moments(values, np.array([[1.0], [1.0], [1.0], [0.0]]))
    assert moments.mean.tolist() == [[2.0, 5.0]]
    assert moments.inverse_std.tolist() == [[1.0, 0.0]]  # the constant column is switched off


def test_hospitals_add_up_to_the_pooled_statistics(data: SimpleNamespace) -> None:
    _, patients = data.make_patients()
    w = weights(len(patients))
    at_clb = np.asarray(patients.centres) == "CLB"
    parts = [training_statistics(patients.select(rows), weights=w[rows]) for rows in (at_clb, ~at_clb)]
    sent = [TrainingStatistics.from_arrays(p.to_arrays()) for p in parts]  # as it travels
    pooled = training_statistics(patients, weights=w).to_arrays()
    for name, array in (sent[0] + sent[1]).to_arrays().items():
        np.testing.assert_allclose(array, pooled[name], rtol=1e-12, err_msg=name)
