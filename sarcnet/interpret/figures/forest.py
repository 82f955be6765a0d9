"""Points with their intervals, one row per pattern: the form that measured, true and reviewed patterns share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from sarcnet.morphometry.measure import MEASURES

GREY = "0.6"


def draw_forest(
    ax: Axes,
    table: pd.DataFrame,
    *,
    rows: Sequence[str],
    colour: str,
    value: str = "effect",
    key: str = "pattern",
    offset: float = 0.0,
    marker: str = "o",
    filled: bool = True,
    label: str | None = None,
) -> None:
    """Draw a point with its interval in the row of each pattern; what is unknown (NaN) or in no row is left out.

    Args:
        ax: gets the points.
        table: `key`, `value`, low, high.
        rows: patterns from top to bottom.
        colour: of points and intervals.
        value: column of the points.
        key: column that names the pattern.
        offset: rows by which the points lie lower, so that several tables have room in a row.
        marker: of matplotlib.
        filled: hollow points and thin lines otherwise.
        label: in the legend.
    """
    places = {name: place + offset for place, name in enumerate(rows)}
    known = table.assign(place=table[key].map(places)).dropna(subset=[value, "place"])
    ax.hlines(known["place"], known["low"], known["high"], color=colour, linewidth=2.0 if filled else 1.2)
    face = colour if filled else "white"
    ax.plot(known[value], known["place"], marker, color=colour, markersize=5, markerfacecolor=face, label=label)


def label_forest(
    axes: Sequence[Axes], rows: Sequence[str], *, level: float, words: Mapping[str, tuple[str, str]] = MEASURES
) -> None:
    """Name the rows, first on top, draw zero, and say what is compared within patients.

    Args:
        axes: share their rows; the first bears the names.
        rows: patterns from top to bottom.
        level: of the intervals.
        words: pattern to its name and what is measured or counted.
    """
    for ax in axes:
        ax.axvline(0, color=GREY, linewidth=1, linestyle=":")
        ax.set_xlabel(f"tiles that raise minus tiles that lower\n(standard deviations, {level:.0%} interval)")
    axes[0].set_yticks(range(len(rows)), ["{}\n({})".format(*words[name]) for name in rows])
    axes[0].invert_yaxis()
