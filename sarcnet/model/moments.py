"""Count, sum and sum of squares: the three numbers from which mean and spread follow, and which add over hospitals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarcnet.model.bags import Bags


@dataclass(frozen=True)
class Moments:
    """First two moments of p columns for each of E members. They add: moments of CLB + moments of IB = moments of both.

    Attributes:
        count: (E, p) float64, number of values.
        total: (E, p) float64, their sum.
        squares: (E, p) float64, the sum of their squares.
    """

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> np.ndarray:
        """(E, p): total / count; 0 where nothing was seen."""
        return self.total / np.maximum(self.count, 1.0)

    @property
    def inverse_std(self) -> np.ndarray:
        """(E, p): 1 / standard deviation; 0 for a constant or unseen column, so such a column says nothing."""
        n = np.maximum(self.count, 1.0)
        variance = np.maximum(self.squares / n - self.mean**2, 0.0)
        spread = np.sqrt(variance)
        varies = spread > 1e-6 * np.sqrt(self.squares / n)
        return np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)


def table_moments(values: np.ndarray, weights: np.ndarray) -> Moments:
    """Moments of a table with missing values.

    Args:
        values: (n, p), NaN where missing.
        weights: (n, E), 1 where patient i is a training patient of member e, else 0.

    Returns:
        Moments (E, p) of the values that are there.
    """
    known = np.isfinite(values)
    x = np.where(known, values, 0.0).astype(np.float64)  # (n, p)
    w = weights.astype(np.float64).T  # (E, n)
    return Moments(w @ known.astype(np.float64), w @ x, w @ (x * x))


def tile_moments(bags: Bags, weights: np.ndarray) -> Moments:
    """Moments of the tile features over all tiles of each member's training patients.

    Args:
        bags: of n patients.
        weights: (n, E), 1 where patient i is a training patient of member e, else 0.

    Returns:
        Moments (E, d).
    """
    d = bags.feature_dim
    total = np.zeros((len(bags), d))
    squares = np.zeros((len(bags), d))
    for i in range(len(bags)):
        x = bags.of(i).astype(np.float64)  # (T, d)
        total[i] = x.sum(axis=0)
        squares[i] = (x * x).sum(axis=0)
    w = weights.astype(np.float64).T  # (E, n)
    count = np.repeat((w @ bags.sizes.astype(np.float64))[:, None], d, axis=1)
    return Moments(count, w @ total, w @ squares)
