"""Heat maps over slides."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sarcnet.interpret.export.heatmap import COLOURS, HeatMap, colour_limit, draw_covered

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
        plain.imshow(item.picture)
        plain.set_title(item.title, fontsize="small")
        draw_covered(covered, item, limit=limit, bar_um=BAR_UM)
    mappable = plt.cm.ScalarMappable(norm=norm, cmap=COLOURS)
    bar = figure.colorbar(mappable, ax=axes.ravel().tolist(), shrink=0.5, aspect=30, extend="both")
    bar.set_label("contribution of a tile, log-odds")
    if points_per_log_odds is not None:
        worth = points_per_log_odds
        bar.set_label(f"contribution of a tile, log-odds\n(percentage points of {horizon_months / 12:g}-year risk)")
        bar.ax.yaxis.set_major_formatter(lambda v, _: f"{v:+.3f} ({v * worth:+.1f})".replace("-", "−") if v else "0")
    return figure
