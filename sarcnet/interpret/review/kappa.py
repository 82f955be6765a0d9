"""Agreement of pathologists beyond chance, with intervals that respect patients.

Answers are categories 0 … k-1; -1 is no answer. Every statistic takes weights (B, n), one row a resample and one column a
tile, so that all resamples are one matrix product; a row of ones gives the estimate itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sarcnet.interpret.resampling import Interval, interval_of
from sarcnet.interpret.review.design import CATEGORIES

NO_ANSWER = -1


@dataclass(frozen=True)
class Estimate:
    """A value with the bounds of its interval, and the tiles (and patients) that it rests on; NaN where undefined.

    p: how often a resample lies on the other side of zero, two-sided.
    """

    value: float
    low: float
    high: float
    p: float
    tiles: int
    patients: int


def cluster_weights(clusters: Sequence[object], *, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples, n) how often each tile enters each resample when whole clusters (patients) are drawn with replacement."""
    names, place = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    if not len(names):
        return np.zeros((samples, 0))
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=samples)
    return draws[:, place].astype(float)


def weighted_kappa(joint: np.ndarray) -> np.ndarray:
    """κ of joint frequencies (…, k, k) with quadratic weights: 1 - Σ d_ij o_ij / Σ d_ij e_ij, with d_ij = |i - j|².

    Cohen, Psychol Bull 1968;70:213-220 (doi 10.1037/h0026256). NaN where both give one and the same category throughout:
    chance agrees as well. scikit-learn's `cohen_kappa_score` takes one table at a time, which for thousands of resamples is
    too slow; the tests hold this against it.
    """
    joint = np.asarray(joint, float)
    i, j = np.indices(joint.shape[-2:])
    distance = (i - j) ** 2  # (k, k)
    total = joint.sum(axis=(-2, -1))
    expected = joint.sum(axis=-1)[..., :, None] * joint.sum(axis=-2)[..., None, :]  # (…, k, k), times total²
    observed, chance = (distance * joint).sum(axis=(-2, -1)) * total, (distance * expected).sum(axis=(-2, -1))
    return 1 - np.divide(observed, chance, out=np.full(np.shape(chance), np.nan), where=chance > 0)


def cohen(first: np.ndarray, second: np.ndarray, weights: np.ndarray, *, categories: int = CATEGORIES) -> np.ndarray:
    """(B,) weighted κ of two columns of answers (n,); tiles that lack either answer do not count."""
    both = (first >= 0) & (second >= 0)
    cell = np.zeros((len(first), categories**2))
    cell[np.flatnonzero(both), first[both] * categories + second[both]] = 1  # (n, k²)
    return weighted_kappa((weights @ cell).reshape(-1, categories, categories))


def light(answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) mean of the weighted κ over all pairs of pathologists; answers (n, pathologists).

    Light, Psychol Bull 1971;76:365-377 (doi 10.1037/h0031643).
    """
    return np.mean([cohen(first, second, weights) for first, second in combinations(answers.T, 2)], axis=0)


def fleiss(answers: np.ndarray, weights: np.ndarray, *, categories: int = CATEGORIES) -> np.ndarray:
    """(B,) Fleiss' κ of all pathologists together, categories without order; answers (n, pathologists).

    Fleiss, Psychol Bull 1971;76:378-382 (doi 10.1037/h0031619). It needs the same number of answers for each tile, so only
    tiles that all answered count. No installed library has it.
    """
    complete = np.min(answers, axis=1) >= 0
    readers = answers.shape[1]
    counts = (answers[:, :, None] == np.arange(categories)).sum(axis=1) * complete[:, None]  # (n, k)
    agreeing = ((counts**2).sum(axis=1) - readers) / (readers * (readers - 1)) * complete  # (n,)
    used = weights @ complete.astype(float)  # (B,)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (weights @ counts) / (used * readers)[:, None]  # (B, k)
        chance = (shares**2).sum(axis=1)
        kappa = ((weights @ agreeing) / used - chance) / (1 - chance)
    return np.where(chance < 1, kappa, np.nan)


def with_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    used: np.ndarray,
    clusters: Sequence[object],
    samples: int,
    level: float,
    rng: np.random.Generator,
) -> Estimate:
    """The statistic of all tiles, with its percentile interval from resampling patients.

    Args:
        statistic: weights (B, n) to values (B,).
        used: (n,) whether a tile takes part.
        clusters: (n,) patient of each tile.

    Resamples in which the statistic is undefined are left out of the interval; if more than a tenth are, it is NaN.
    """
    used = np.asarray(used, bool)
    names = np.asarray(clusters, dtype=object)[used]
    counted = {"tiles": int(used.sum()), "patients": len(set(names))}
    if not used.any():
        return Estimate(np.nan, np.nan, np.nan, np.nan, **counted)
    weights = np.zeros((samples, len(used)))
    weights[:, used] = cluster_weights(names, samples=samples, rng=rng)
    value = float(statistic(used.astype(float)[None])[0])
    many = statistic(weights)
    many = many[np.isfinite(many)]
    enough = len(many) >= 0.9 * samples and counted["patients"] > 1
    return Estimate(value, *(interval_of(many, level=level) if enough else Interval()), **counted)
