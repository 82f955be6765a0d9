"""The tile grid in micrometres, and how much of each tile is tissue."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sarcnet.slides.reader.opening import SlideInfo
from sarcnet.slides.reader.units import Level0Px


@dataclass(frozen=True)
class Grid:
    """`x_px`, `y_px`: (n,) int64 top-left corners at level 0, row by row; `size_px`: side at level 0, not rounded.

    Corners are rounded to whole level-0 pixels, each on its own, so the error never adds up: neighbours overlap or
    part by less than one pixel, anywhere on the slide.
    """

    x_px: np.ndarray
    y_px: np.ndarray
    size_px: Level0Px


def tile_grid(info: SlideInfo, *, size_px: Level0Px) -> Grid:
    """All tiles that lie entirely on the slide, edge to edge from its scanned origin. May be empty."""
    columns = _corners(info.left_px, info.width_px, size_px)
    rows = _corners(info.top_px, info.height_px, size_px)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return Grid(x.ravel(), y.ravel(), size_px)


def _corners(origin: float, extent: int, side: float) -> np.ndarray:
    count = max(0, math.floor((extent - origin) / side + 1e-9))
    corners = np.floor(origin + np.arange(count) * side + 0.5).astype(np.int64)
    return corners[corners + side <= extent + 0.5]


def share_inside(mask: np.ndarray, *, grid: Grid, scale: float) -> np.ndarray:
    """Share of each tile's area that `mask` covers, (n,) float64 in [0, 1].

    Exact for tiles that cut through mask pixels: the integral of a piecewise constant function over a rectangle is a
    bilinear reading of its summed-area table (Crow 1984).

    Args:
        mask: (h, w) bool at thumbnail resolution.
        grid: tiles at level 0.
        scale: level-0 pixels per mask pixel.
    """
    table = np.pad(mask, ((1, 0), (1, 0))).cumsum(0, dtype=np.float64).cumsum(1)  # (h + 1, w + 1)
    side = grid.size_px / scale
    left, top = grid.x_px / scale, grid.y_px / scale  # (n,) mask pixels

    def area(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = np.clip(x, 0, mask.shape[1]), np.clip(y, 0, mask.shape[0])
        i, j = np.minimum(y.astype(int), mask.shape[0] - 1), np.minimum(x.astype(int), mask.shape[1] - 1)
        v, u = y - i, x - j
        above = table[i, j] * (1 - u) + table[i, j + 1] * u
        below = table[i + 1, j] * (1 - u) + table[i + 1, j + 1] * u
        return above * (1 - v) + below * v

    inside = area(left + side, top + side) - area(left, top + side) - area(left + side, top) + area(left, top)
    return np.clip(inside / side**2, 0.0, 1.0)
