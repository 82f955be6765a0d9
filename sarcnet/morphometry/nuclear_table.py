"""One row a nucleus: where it lies, how large, how round, how dark and how rough it is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sarcnet.morphometry.nuclei import solidities

COLUMNS = ("x_um", "y_um", "area_um2", "eccentricity", "solidity", "chromatin_od", "texture_cv", "cut", "counts")
PIXEL_VARIANCE = 1 / 12  # of a pixel's own extent, so that a single pixel is a square and not a point


def nuclear_table(labels: np.ndarray, density: np.ndarray, *, mpp: float) -> pd.DataFrame:
    """Nuclei of a label picture (h, w), in the order of their labels, measured on the density (h, w) in OD.

    Returns:
        x_um, y_um: centre, from the top left of the picture.
        area_um2.
        eccentricity: of the ellipse with the same second moments, 0 for a disc and towards 1 for a needle.
        solidity: area over the area of the convex hull, 1 for a convex outline, less for a clump.
        chromatin_od: mean OD; texture_cv: standard deviation of OD over its mean.
        cut: touches the picture's edge, so that its size is not known.
        counts: is counted by the rule of Gundersen (J Microsc 1977;111:219-223), which counts a nucleus on the edge of
            two neighbouring tiles in one of them only: those that touch the left or upper edge are left out.
    """
    number = int(labels.max(initial=0)) + 1
    inside = np.flatnonzero(labels)
    flat = labels.ravel()[inside]
    size = np.bincount(flat, minlength=number).astype(float)
    there = np.flatnonzero(size[1:]) + 1
    if not len(there):
        return pd.DataFrame(columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS, float) | {"cut": bool, "counts": bool})

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values, number)[there] / size[there]

    y, x = (along.astype(float) for along in np.divmod(inside, labels.shape[1]))
    od = density.ravel()[inside].astype(float)
    row, column, dark = mean(y), mean(x), mean(od)
    spread = np.sqrt(np.maximum(mean(od**2) - dark**2, 0))
    left_or_top, other = _edges(labels, number=number)
    return pd.DataFrame(
        {
            "x_um": (column + 0.5) * mpp,
            "y_um": (row + 0.5) * mpp,
            "area_um2": size[there] * mpp**2,
            "eccentricity": _eccentricity(mean(x * x) - column**2, mean(y * y) - row**2, mean(x * y) - row * column),
            "solidity": solidities(labels)[there],
            "chromatin_od": dark,
            "texture_cv": spread / np.maximum(dark, 1e-6),
            "cut": (left_or_top | other)[there],
            "counts": ~left_or_top[there],
        }
    )


def _eccentricity(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    xx, yy = xx + PIXEL_VARIANCE, yy + PIXEL_VARIANCE
    half, root = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.sqrt(np.clip(1 - (half - root) / (half + root), 0, 1))


def _edges(labels: np.ndarray, *, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(number,) whether each label touches the left or upper edge, and whether the right or lower one."""
    first, last = (np.zeros(number, bool) for _ in range(2))
    first[np.concatenate([labels[0], labels[:, 0]])] = True
    last[np.concatenate([labels[-1], labels[:, -1]])] = True
    return first, last
