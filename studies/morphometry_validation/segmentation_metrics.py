"""How well nuclei found in a picture agree with nuclei outlined by people, or painted by the simulation.

Two questions. Is each nucleus found? Centres are paired one to one, each the other's nearest, within a distance
(:func:`paired_centres`), as Graham et al. do for HoVer-Net, Medical Image Analysis 2019;58:101563. Is it outlined well?
Outlines are paired when more than half of their union is shared, which makes pairs unique, and counted by the panoptic
quality of Kirillov et al., CVPR 2019, arXiv:1801.00868.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

WITHIN_UM = 4.0
IOU_MIN = 0.5


@dataclass(frozen=True)
class Agreement:
    """Nuclei `known` and `found`, how many of them pair (`matched`), and the mean overlap of the pairs (`iou`)."""

    known: int
    found: int
    matched: int
    iou: float = float("nan")

    @property
    def recall(self) -> float:
        """Share of the known that are found."""
        return self.matched / self.known if self.known else float("nan")

    @property
    def precision(self) -> float:
        """Share of the found that are known."""
        return self.matched / self.found if self.found else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN when there is nothing known and nothing found."""
        total = self.known + self.found
        return 2 * self.matched / total if total else float("nan")

    @property
    def panoptic_quality(self) -> float:
        """f1 times the mean overlap of the pairs; 0 without a pair."""
        return self.f1 * self.iou if self.matched else (0.0 if self.known + self.found else float("nan"))


def paired_centres(known: np.ndarray, found: np.ndarray, *, within_um: float = WITHIN_UM) -> np.ndarray:
    """Rows of `known` and `found` (·, 2 or more: x, y in µm) that are each other's nearest and near, (k, 2)."""
    if not len(known) or not len(found):
        return np.zeros((0, 2), int)
    distance, nearest = cKDTree(found[:, :2]).query(known[:, :2])
    back = cKDTree(known[:, :2]).query(found[:, :2])[1]
    own = np.flatnonzero((back[nearest] == np.arange(len(known))) & (distance <= within_um))
    return np.column_stack([own, nearest[own]])


def detection(known: np.ndarray, found: np.ndarray, *, within_um: float = WITHIN_UM) -> Agreement:
    """How many of the known centres (n, 2) are found (m, 2), each at most once, within a distance in µm."""
    return Agreement(len(known), len(found), len(paired_centres(known, found, within_um=within_um)))


def outlines(known: np.ndarray, found: np.ndarray) -> Agreement:
    """Agreement of two label pictures (h, w), 0 where there is no nucleus, by overlap above IOU_MIN."""
    pairs = paired_outlines(known, found)
    count, count_found = (len(np.unique(labels[labels > 0])) for labels in (known, found))
    return Agreement(count, count_found, len(pairs), float(pairs[:, 2].mean()) if len(pairs) else float("nan"))


def paired_outlines(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(k, 3): label in `known`, label in `found`, intersection over union, for the pairs above IOU_MIN."""
    width = int(found.max(initial=0)) + 1
    both = known.astype(np.int64).ravel() * width + found.ravel()
    codes, shared = np.unique(both, return_counts=True)
    row, column = np.divmod(codes, width)
    of_known, of_found = (np.bincount(line, shared) for line in (row, column))
    iou = shared / (of_known[row] + of_found[column] - shared)
    kept = (row > 0) & (column > 0) & (iou > IOU_MIN)
    return np.column_stack([row, column, iou])[kept]


def centres_um(labels: np.ndarray, *, mpp: float) -> np.ndarray:
    """Centre and area of each label of (h, w), in the order of the labels: (n, 3) x_um, y_um, area_um2."""
    size = np.bincount(labels.ravel())
    y, x = np.indices(labels.shape)
    there = np.flatnonzero(size[1:]) + 1
    middle = [np.bincount(labels.ravel(), along.ravel())[there] / size[there] * mpp + mpp / 2 for along in (x, y)]
    return np.column_stack([*middle, size[there] * mpp**2]) if len(there) else np.zeros((0, 3))
