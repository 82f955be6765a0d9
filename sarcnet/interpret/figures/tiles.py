"""Figures of tiles: heat maps over slides, and the tiles at the ends of the contributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sarcnet.interpret.attribution.tiles import see_tiles
from sarcnet.interpret.export.heatmap import COLOURS, OPACITY, HeatMap, colour_limit
from sarcnet.morphometry.geometry import TileGeometry

BAR_UM = 200.0
PER_ROW = 4


def draw_heatmaps(
    maps: Sequence[HeatMap], *, horizon_months: float, points_per_log_odds: float | None = None
) -> Figure:
    """Each slide above the same slide with its tiles' contributions; one scale for all, symmetric about zero.

    The scale ends where 98 % of the tiled area does, so that one extreme tile does not bleach all others; the arrows of
    the colour bar say that some lie beyond. In brackets, where given, what a contribution is worth in percentage points of
    risk for the average patient.

    Args:
        maps: of `patient_heatmaps`.
        horizon_months: of the risk.
        points_per_log_odds: of `points_per_log_odds`, percentage points.

    Returns:
        The figure.
    """
    columns = min(len(maps), PER_ROW)
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(2 * rows, columns, figsize=(2.6 * columns + 1.0, 5.2 * rows), squeeze=False)
    for ax in axes.ravel():
        ax.axis("off")
    limit = colour_limit(*(item.values for item in maps))
    norm = Normalize(-limit, limit)
    for place, item in enumerate(maps):
        row, column = divmod(place, columns)
        plain, covered = axes[2 * row][column], axes[2 * row + 1][column]
        for ax in (plain, covered):
            ax.imshow(item.picture)
        covered.imshow(np.ma.masked_invalid(item.values), cmap=COLOURS, norm=norm, alpha=OPACITY)
        if item.tissue is not None and item.tissue.any() and not item.tissue.all():
            covered.contour(item.tissue, levels=[0.5], colors="black", linewidths=0.6)
        plain.set_title(item.title, fontsize="small")
        _bar(covered, um_per_px=float(item.mpp), shape=item.picture.shape)
    mappable = plt.cm.ScalarMappable(norm=norm, cmap=COLOURS)
    bar = figure.colorbar(mappable, ax=axes.ravel().tolist(), shrink=0.5, aspect=30, extend="both")
    bar.set_label("contribution of a tile, log-odds")
    if points_per_log_odds is not None:
        worth = points_per_log_odds
        bar.set_label(f"contribution of a tile, log-odds\n(percentage points of {horizon_months / 12:g}-year risk)")
        bar.ax.yaxis.set_major_formatter(lambda v, _: f"{v:+.3f} ({v * worth:+.1f})".replace("-", "−") if v else "0")
    return figure


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _bar(ax: Axes, *, um_per_px: float, shape: tuple[int, ...]) -> None:
    length, height, width = BAR_UM / um_per_px, shape[0], shape[1]
    left, y = 0.04 * width, 0.95 * height
    ax.plot([left, left + length], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    ax.text(left + length / 2, y - 0.02 * height, f"{BAR_UM:g} µm", ha="center", va="bottom", fontsize="x-small")


def draw_tiles(
    ends: Mapping[str, pd.DataFrame], *, files: Mapping[str, Path], geometry: Mapping[str, TileGeometry]
) -> Figure:
    """Two blocks of tiles as the encoder saw them: left those that raise the score most, right those that lower it.

    The number is the tile's strength (contribution times the number of the patient's tiles, log-odds), the bar 25 µm.

    Args:
        ends: "top" and "bottom", of `extreme_tiles`.
        files: slide files by slide_id.
        geometry: of `tile_geometry`, by slide_id.

    Returns:
        The figure.

    Raises:
        SlideFault: a slide cannot be opened.
    """
    top, bottom = (see_tiles(ends[end], files=files, geometry=geometry) for end in ("top", "bottom"))
    rows = max(1, -(-max(len(top), len(bottom)) // PER_ROW))
    figure = plt.figure(figsize=(11.0, 1.58 * rows + 0.5))
    grid = figure.add_gridspec(1, 2, wspace=0.04)
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    for block, seen, title in zip(
        (left, right), (top, bottom), ("raise the score most", "lower the score most"), strict=True
    ):
        block.suptitle(f"Tiles that {title}", fontsize="medium")
        axes = block.subplots(rows, PER_ROW, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for ax, item in zip(axes, seen, strict=False):
            if item.pixels is not None:
                ax.imshow(item.pixels)
                um_per_px = item.tile_um / item.pixels.shape[0]
                ax.plot([8, 8 + 25 / um_per_px], [item.pixels.shape[0] - 10] * 2, color="white", linewidth=2.5)
            ax.set_title(f"{item.row['centre']}, {_signed(item.row['strength'])}", fontsize="x-small", pad=2)
    return figure
