"""Spearman's rank correlation, of the pairs at hand and in many resamples at once.

Spearman C. The proof and measurement of association between two things. American Journal of Psychology 1904;15:72-101.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def spearman(pairs: np.ndarray) -> float:
    """Rank correlation of pairs (n, 2), ties at their mean rank; NaN where either side does not vary."""
    ranks = rankdata(pairs, axis=0)
    if (ranks.std(axis=0) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks.T)[0, 1])


def weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) Spearman's correlation of x and y (n,), where weights (B, n) say how often each pair stands in each resample."""
    ranks = [_ranks(values, weights=weights) for values in (x, y)]  # (B, n) each
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
        spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
        return np.where(spread > 1e-9, (weights * a * b).sum(axis=1) / spread, np.nan)


def _ranks(values: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """(B, n) mid-ranks in each resample: all copies of equal values share the mean of the places that they take."""
    _, group = np.unique(values, return_inverse=True)
    inside = np.zeros((len(group), group.max(initial=-1) + 1))
    inside[np.arange(len(group)), group] = 1
    count = weights @ inside  # (B, groups)
    return (np.cumsum(count, axis=1) - (count - 1) / 2)[:, group]
