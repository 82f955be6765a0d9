"""Figures of the measured patterns: what high tiles show more of, and what features know beside what the model uses."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sarcnet.compendium.figures import PALETTE, hospital_colours
from sarcnet.interpret.patterns.effects import MeasuredEffects
from sarcnet.morphometry.measure import MEASURES

PLAIN, TRUE, GREY = PALETTE[1], PALETTE[0], "0.6"
ROW_INCHES = 0.52


def draw_measured(found: MeasuredEffects, *, shuffled: pd.DataFrame, true: pd.DataFrame | None, level: float) -> Figure:
    """Left: each pattern, plain, adjusted, true where known, and in shuffled networks. Right: plain in each hospital.

    Args:
        found: of `measured_effects`.
        shuffled: (networks, patterns) effects of networks with shuffled weights.
        true: effects of the true patterns of the same tiles, where they are known.
        level: of the intervals.

    Returns:
        The figure.
    """
    names = found.plain["pattern"].tolist()
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11.0, ROW_INCHES * len(names) + 1.7), sharey=True, width_ratios=(1.6, 1)
    )
    rows = [
        ("measured", found.plain, PLAIN, "o", 0.0, True),
        ("measured, necrosis and stroma taken out", found.adjusted, PLAIN, "o", 0.18, False),
    ]
    if true is not None:
        rows.insert(0, ("true, the same tiles", true, TRUE, "D", -0.18, True))
    for _, table, colour, marker, offset, filled in rows:
        _forest(left, table, names=names, colour=colour, marker=marker, offset=offset, filled=filled)
    for place, name in enumerate(names):
        values = shuffled[name].dropna()
        left.scatter(values, np.full(len(values), place + 0.34), s=8, color=GREY, alpha=0.6, linewidths=0)
    handles = [_handle(label, colour, marker, filled) for label, _, colour, marker, _, filled in rows]
    handles.append(_handle(f"{len(shuffled)} networks, weights shuffled", GREY, "o", True, line=False))
    figure.legend(handles=handles, fontsize="small", loc="outside upper center", ncols=2)
    _centres(right, found.by_centre, names=names)
    for ax in (left, right):
        ax.axvline(0, color=GREY, linewidth=1, linestyle=":")
        ax.set_xlabel(f"tiles that raise minus tiles that lower\n(standard deviations, {level:.0%} interval)")
    left.set_yticks(range(len(names)), [_label(name) for name in names])
    left.invert_yaxis()
    left.set_title(f"Within patients, n = {int(found.plain['n'].min())} to {int(found.plain['n'].max())}")
    right.set_title("Measured, by hospital")
    return figure


def draw_concepts(known: pd.DataFrame, *, used: MeasuredEffects, true: pd.DataFrame | None, level: float) -> Figure:
    """Left: R² of a probe on patients it has not seen. Right: the measured effect of the same pattern, plain.

    Args:
        known: of `probe_features` for measured patterns.
        used: of `measured_effects`.
        true: of `probe_features` for true patterns, where they are known.
        level: of the intervals.

    Returns:
        The figure.
    """
    names = known["pattern"].tolist()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, ROW_INCHES * len(names) + 1.7), sharey=True)
    _forest(
        left, known.rename(columns={"r2": "effect"}), names=names, colour=PLAIN, marker="o", offset=0.0, filled=True
    )
    handles = [_handle("measured on the picture", PLAIN, "o", True)]
    if true is not None:
        table = true.rename(columns={"r2": "effect"})
        _forest(left, table, names=names, colour=TRUE, marker="D", offset=-0.18, filled=True)
        handles.insert(0, _handle("true", TRUE, "D", True))
    figure.legend(handles=handles, fontsize="small", loc="outside upper center", ncols=2)
    _forest(right, used.plain, names=names, colour=PLAIN, marker="o", offset=0.0, filled=True)
    for ax in (left, right):
        ax.axvline(0, color=GREY, linewidth=1, linestyle=":")
    left.set_xlim(min(-0.1, float(np.nanmin(known["low"])) - 0.05), 1.0)
    left.set_yticks(range(len(names)), [_label(name) for name in names])
    left.invert_yaxis()
    left.set_xlabel(f"R² on patients not seen ({level:.0%} interval)")
    right.set_xlabel(f"tiles that raise minus tiles that lower\n(standard deviations, {level:.0%} interval)")
    left.set_title(f"What the features can know, n = {int(known['n_patients'].max())} patients")
    right.set_title(f"What the model uses, n = {int(used.plain['n'].min())} to {int(used.plain['n'].max())}")
    return figure


def _label(name: str) -> str:
    return f"{MEASURES[name][0]}\n({MEASURES[name][1]})"


def _forest(
    ax: Axes, table: pd.DataFrame, *, names: list[str], colour: str, marker: str, offset: float, filled: bool
) -> None:
    """A point with its interval (effect, low, high) for each pattern of the table that is among `names`."""
    for row in table.dropna(subset=["effect"]).itertuples():
        if row.pattern in names:
            place = names.index(str(row.pattern)) + offset
            ax.plot([row.low, row.high], [place, place], color=colour, linewidth=2.0 if filled else 1.2)
            ax.plot(
                row.effect, place, marker, color=colour, markersize=5, markerfacecolor=colour if filled else "white"
            )


def _centres(ax: Axes, table: pd.DataFrame, *, names: list[str]) -> None:
    shades = hospital_colours(table["centre"])
    for number, centre in enumerate(shades):
        own = table[table["centre"] == centre]
        offset = 0.3 * (number - (len(shades) - 1) / 2) / max(len(shades) - 1, 1)
        _forest(ax, own, names=names, colour=shades[centre], marker="o", offset=offset, filled=True)
    handles = [_handle(f"{c}, n ≤ {int(table[table['centre'] == c]['n'].max())}", shades[c], "o", True) for c in shades]
    ax.legend(handles=handles, fontsize="x-small", loc="best")


def _handle(label: str, colour: str, marker: str, filled: bool, *, line: bool = True) -> Line2D:
    face = colour if filled else "white"
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        linestyle="-" if line else "",
        markersize=5,
        markerfacecolor=face,
        label=label,
    )
