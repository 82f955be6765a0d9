"""Figures of notebook 05 that compare models: AUCs with intervals, in subgroups, and over the horizon."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.metrics.bootstrap import p_text
from sarcnet.evaluation.subgroups.heterogeneity import Subgroups
from sarcnet.evaluation.tables.text import PAPER, headings
from sarcnet.model.names.words import in_order, label

WIDTH = 30  # letters in a line of a model's name
OURS, VALIDATION, THEIRS = PALETTE[0], PALETTE[4], PALETTE[6]


def draw_forest(table: pd.DataFrame) -> Figure:
    """AUC with interval of every model in every series, and the paper's beside them. See tables.auc_table.

    Args:
        table: see :func:`sarcnet.evaluation.tables.text.auc_table`.

    Returns:
        The figure.
    """
    models = in_order(table["model"].unique().tolist())
    titles = headings(table)
    names = list(titles)
    figure, axes = plt.subplots(
        1, len(names), figsize=(6.2 + 3.6 * (len(names) - 1), 0.42 * len(models) + 2.0), sharey=True
    )
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        own = table[table["series"] == name].set_index("model")
        for place, model in enumerate(models):
            if model in own.index:
                row = own.loc[model]
                ax.plot([row["low"], row["high"]], [place, place], color=OURS, linewidth=2)
                ax.plot(
                    row["auc"], place, "o", color=OURS, markersize=6, markerfacecolor="white" if row["note"] else OURS
                )
            if name == "cross-validation" and model in PAPER:
                paper = PAPER[model]
                ax.plot([paper.low, paper.high], [place + 0.28] * 2, color=THEIRS, linewidth=1.5)
                ax.plot(paper.value, place + 0.28, "D", color=THEIRS, markersize=4.5)
        ax.axvline(0.5, color="0.6", linewidth=1, linestyle=":")
        ax.set_title(titles[name].replace(", n", "\nn", 1))
        ax.set_xlabel("AUC at 5 years (95 % interval)")
        ax.set_xlim(min(0.45, table[["low", "auc"]].min().min() - 0.02), 1.02)
        ax.grid(axis="x", alpha=0.3)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(models)), [textwrap.fill(label(model), WIDTH) for model in models])
    first.invert_yaxis()
    handles = [
        plt.Line2D([], [], color=OURS, marker="o", label="here"),
        *(
            [
                plt.Line2D(
                    [],
                    [],
                    color=OURS,
                    marker="o",
                    markerfacecolor="white",
                    linestyle="",
                    label="too few for an interval",
                )
            ]
            if table["note"].any()
            else []
        ),
        plt.Line2D([], [], color=THEIRS, marker="D", markersize=5, label="paper (real patients)"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize="small")
    return figure


def draw_subgroups(found: Subgroups, *, model: str, other: str, level: float) -> Figure:
    """AUC of `model` in each subgroup, and beside it how much more than `other` it reaches, with tests of heterogeneity.

    Args:
        found: from :func:`sarcnet.evaluation.subgroups.judge_subgroups`.
        model: name of the model whose AUCs stand on the left.
        other: name of the model that it is compared with.
        level: coverage of the intervals, for example 0.95.

    Returns:
        The figure.
    """
    rows, tests = found.rows, found.tests.set_index("variable")["p"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 0.36 * len(rows) + 1.9), sharey=True)
    ticks, place, places = [], 0.0, []
    for k, row in enumerate(rows.itertuples()):
        place += 1.0 if k == 0 or row.variable == rows["variable"].iloc[k - 1] else 1.7
        places.append(place)
        ticks.append(f"{str(row.level).replace('_', ' ')} ({row.n}, {row.events})")
        colour = "black" if row.variable == "all" else OURS
        for ax, (value, low, high) in (
            (left, (row.auc, row.low, row.high)),
            (right, (row.difference, row.difference_low, row.difference_high)),
        ):
            ax.plot([low, high], [place, place], color=colour, linewidth=2)
            ax.plot(value, place, "o", color=colour, markersize=6)
    for variable, own in rows.groupby("variable", sort=False):
        if variable in tests.index:
            y = float(np.mean([places[i] for i in own.index]))
            right.text(
                1.02,
                y,
                f"P {p_text(tests[variable])}",
                transform=right.get_yaxis_transform(),
                va="center",
            )
    left.axvline(0.5, color="0.6", linewidth=1, linestyle=":")
    right.axvline(0, color="0.6", linewidth=1, linestyle=":")
    left.set_yticks(places, ticks)
    left.invert_yaxis()
    left.set(xlabel=f"AUC at 5 years ({level:.0%} interval)", title=label(model))
    right.set(xlabel="difference in AUC", title=textwrap.fill(f"minus {label(other)}", 32))
    if len(tests):
        right.text(1.02, 1.01, "same in all?\nexploratory", transform=right.transAxes, va="bottom")
    left.text(-0.03, 1.01, "subgroup (patients, events)", transform=left.transAxes, ha="right", va="bottom")
    for ax in (left, right):
        ax.grid(axis="x", alpha=0.3)
    return figure
