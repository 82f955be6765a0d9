"""Figures of how the risk responds to a clinical variable, and of the model as a nomogram."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.compendium.figures import PALETTE
from sarcnet.interpret.attribution.nomogram import IMAGE, Nomogram
from sarcnet.model.clinical import CATEGORIES
from sarcnet.model.names.words import variable_words

MODEL, TRUTH = PALETTE[0], "black"
PER_ROW = 4


def _name(variable: str) -> str:
    return "slide (percentile of the patients)" if variable == IMAGE else variable_words(variable)


def draw_response(curves: pd.DataFrame, true: pd.DataFrame | None, *, level: float, horizon_months: float) -> Figure:
    """Mean predicted risk when everybody has the same value of one variable; the true one beside it, where it is known.

    Args:
        curves: of `respond`.
        true: variable, value, risk on the same grid; None where it is unknown.
        level: of the intervals.
        horizon_months: of the risk.

    Returns:
        The figure, one panel per variable.
    """
    names = list(dict.fromkeys(curves["variable"]))
    rows = -(-len(names) // PER_ROW)
    figure, axes = plt.subplots(rows, PER_ROW, figsize=(11.0, 2.9 * rows), sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.ravel(), names, strict=False):
        own = curves[curves["variable"] == name]
        low, high, risk = (100 * own[column].to_numpy(float) for column in ("low", "high", "risk"))
        few = name in CATEGORIES or len(own) <= 3
        x = np.arange(len(own)) if few else own["value"].to_numpy(float)
        if few:
            ax.errorbar(x, risk, yerr=[risk - low, high - risk], fmt="o", color=MODEL, markersize=5)
            ax.set_xticks(x, [str(v).replace("_", "\n") if name in CATEGORIES else f"{v:g}" for v in own["value"]])
            ax.tick_params(axis="x", labelsize="x-small", rotation=60 if len(own) > 3 else 0)
            ax.set_xlim(-0.5, len(own) - 0.5)
        else:
            ax.plot(x, risk, color=MODEL, linewidth=1.8)
            ax.fill_between(x, low, high, color=MODEL, alpha=0.15, linewidth=0)
        if true is not None and name in set(true["variable"]):
            known = 100 * true.loc[true["variable"] == name, "risk"].to_numpy(float)
            ax.plot(x, known, "_" if few else "--", color=TRUTH, linewidth=1.2, markersize=14)
        ax.set_title(_name(name), fontsize="small")
        ax.grid(axis="y", alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"mean {horizon_months / 12:g}-year risk (%)")
    handles = [plt.Line2D([], [], color=MODEL, marker="o", label="model")]
    if true is not None and len(true):
        handles.append(plt.Line2D([], [], color=TRUTH, linestyle="--", label="true risk"))
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize="small")
    figure.suptitle(f"n = {int(curves['n'].max())}, {level:.0%} intervals over training patients", fontsize="medium")
    return figure


def draw_nomogram(found: Nomogram, *, endpoint: Endpoint, horizon_months: float) -> Figure:
    """Add the points of every row; the sum on the scale below leads to the risk.

    Args:
        found: of `nomogram_of`.
        endpoint: whose risk it is.
        horizon_months: of the risk.

    Returns:
        The figure.
    """
    rows = list(found.axes)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(10.0, 0.55 * (len(rows) + 1) + 2.4), height_ratios=(len(rows) + 1, 2.2)
    )
    _scale(upper, 0, np.arange(0, 101, 10), [f"{v:g}" for v in range(0, 101, 10)])
    for place, name in enumerate(rows, start=1):
        axis = found.axes[name]
        _scale(upper, place, axis["points"].to_numpy(float), axis["label"].tolist())
    upper.set_yticks(range(len(rows) + 1), ["points", *[_name(name) for name in rows]])
    upper.set_ylim(len(rows) + 0.6, -0.7)
    total = sum(axis["points"].max() for axis in found.axes.values())
    step = next(size for size in (10, 20, 25, 50, 100) if total / size <= 14)
    ticks = np.arange(0, total + 1, step)
    _scale(lower, 0, ticks, [f"{v:g}" for v in ticks])
    _scale(lower, 1, found.risks["points"].to_numpy(float), [f"{100 * r:g} %" for r in found.risks["risk"]])
    lower.set_yticks([0, 1], ["total points", f"{horizon_months / 12:g}-year risk of {endpoint.event}"])
    lower.set_ylim(1.6, -0.7)
    for ax in (upper, lower):
        ax.xaxis.set_visible(False)
        ax.tick_params(axis="y", length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    return figure


def _scale(ax: plt.Axes, y: float, at: np.ndarray, labels: list[str]) -> None:
    """A horizontal axis with ticks; a label that would lie over its neighbour goes to the other side of the line."""
    ax.plot([at.min(), at.max()], [y, y], color="black", linewidth=1)
    ax.plot(at, np.full(len(at), y), "|", color="black", markersize=7)
    width = 0.0095 * max(ax.dataLim.width, float(np.ptp(at)), 1.0)  # of a letter
    ends = {True: -np.inf, False: -np.inf}  # right end of the last label above and below
    for which in np.argsort(at, kind="stable"):
        half = len(labels[which]) * width / 2
        above = bool(at[which] - half > ends[True] or ends[True] <= ends[False])
        ends[above] = at[which] + half + width
        shift = -0.14 if above else 0.14
        ax.text(at[which], y + shift, labels[which], ha="center", va="bottom" if above else "top", fontsize="x-small")
