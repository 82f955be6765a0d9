"""A plane to look at features in: the two directions along which tiles differ most (principal components)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """`scores` (n, 2), `explained` (2,) share of the total variance along each axis."""

    scores: np.ndarray
    explained: np.ndarray


def two_axes(features: np.ndarray) -> Plane:
    """Project (n, d) features on their first two principal components.

    For looking only: it is fitted on whatever is passed, so nothing downstream may use it. The sign of each axis is
    fixed by its largest loading, so the same features give the same picture.

    Args:
        features: (n, d).

    Returns:
        Place of each row on the plane, and the share of the variance along each axis.
    """
    x = features.astype(np.float64)
    x = x - x.mean(axis=0)  # (n, d)
    values, vectors = np.linalg.eigh(x.T @ x)  # (d,), (d, d), ascending
    axes = vectors[:, ::-1][:, :2]  # (d, 2)
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return Plane(x @ axes, values[::-1][:2] / max(values.sum(), np.finfo(float).tiny))
