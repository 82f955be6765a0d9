"""Figures of notebook 06."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sarcnet.compendium.figures import PALETTE
from sarcnet.interpret.attribution.tiles import SeenTile
from sarcnet.interpret.export.heatmap import COLOURS, OPACITY, HeatMap, colour_limit
from sarcnet.model.names.words import variable_words
from virtual_cohort.experiments.ground_truth import PATTERNS

BAR_UM = 200.0
PER_ROW = 4


def draw_heatmaps(
    maps: Sequence[HeatMap], *, horizon_months: float, points_per_log_odds: float | None = None
) -> Figure:
    """Each slide above the same slide with its tiles' contributions; one scale for all, symmetric about zero.

    The scale ends where 98 % of the tiled area does, so that one extreme tile does not bleach all others; the arrows of
    the colour bar say that some lie beyond. In brackets, where given, what a contribution is worth in percentage points of
    risk for the average patient.
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


def draw_tiles(top: Sequence[SeenTile], bottom: Sequence[SeenTile]) -> Figure:
    """Two blocks of tiles as the encoder saw them: left those that raise the score most, right those that lower it.

    The number is the tile's strength (contribution times the number of the patient's tiles, log-odds), the bar 25 µm.
    """
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


def draw_clinical(clinical: pd.DataFrame) -> Figure:
    """What each clinical variable added to the scores of the patients: a dot a patient, most influential above."""
    order = clinical.groupby("variable")["contribution"].std().sort_values(ascending=False).index.tolist()
    figure, ax = plt.subplots(figsize=(7.0, 0.42 * len(order) + 1.2))
    for place, name in enumerate(order):
        values = clinical.loc[clinical["variable"] == name, "contribution"].to_numpy(float)
        # A fixed spread: nothing is drawn by chance.
        height = np.linspace(-0.28, 0.28, max(len(values), 2))[: len(values)]
        ax.scatter(values, place + np.roll(height, 7), s=7, color=PALETTE[0], alpha=0.35, linewidths=0)
    ax.axvline(0, color="0.6", linewidth=1)
    ax.set_yticks(range(len(order)), [variable_words(name) for name in order])
    ax.invert_yaxis()
    ax.set_xlabel(f"contribution to the score (log-odds), n = {clinical['patient_id'].nunique()} patients")
    return figure


def draw_pathology(found: pd.DataFrame, reference: pd.DataFrame, correlations: pd.DataFrame, *, level: float) -> Figure:
    """Left: true pattern of high against low tiles, beside networks that learnt nothing. Right: whole tumours."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 3.8), sharey=True)
    names = [f"{PATTERNS[name][0]}\n({PATTERNS[name][1]})" for name in found["pattern"]]
    for place, row in enumerate(found.itertuples()):
        shuffled = reference[row.pattern].dropna()
        if len(shuffled):
            left.scatter(shuffled, np.full(len(shuffled), place + 0.25), s=10, color="0.6", alpha=0.6, linewidths=0)
        left.plot([row.low, row.high], [place, place], color=PALETTE[1], linewidth=2.5)
        left.plot(row.effect, place, "o", color=PALETTE[1])
    for place, row in enumerate(correlations.itertuples()):
        right.plot([row.low, row.high], [place, place], color=PALETTE[0], linewidth=2.5)
        right.plot(row.rho, place, "o", color=PALETTE[0])
    for ax in (left, right):
        ax.axvline(0, color="0.6", linewidth=1, linestyle=":")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xlabel(f"tiles that raise minus tiles that lower\n(standard deviations, {level:.0%} interval)")
    right.set_xlabel(f"rank correlation of image score\nand true pattern ({level:.0%} interval)")
    left.set_title(f"Within patients, n = {int(found['n'].max())}")
    right.set_title(f"Between patients, n = {int(correlations['n'].max())}")
    handles = [
        plt.Line2D([], [], color=PALETTE[1], marker="o", label="trained"),
        plt.Line2D([], [], color="0.6", marker="o", linestyle="", markersize=4, label="weights shuffled"),
    ]
    left.legend(handles=handles, fontsize="x-small", loc="best")
    return figure
