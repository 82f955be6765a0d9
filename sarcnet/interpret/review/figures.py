"""The figure of a review: how far readers agree, and whether the contributions rise with what they see."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.metrics.bootstrap import p_text
from sarcnet.interpret.review.design import QUESTIONS

NAMES = {
    "fleiss": "between readers, Fleiss",
    "weighted": "between readers, weighted",
    "within": "same tile twice, weighted",
}
OFFSET = 0.22


def draw_review(agreement: pd.DataFrame, association: pd.DataFrame, *, level: float, readers: str) -> Figure:
    """Left κ of each question, right its correlation with the contributions; bars are intervals from resampling patients.

    Args:
        agreement: of `agreement_table`; where it has `implied`, that is drawn as a black tick.
        association: of `association_table`.
        level: of the intervals.
        readers: who read, for example "3 simulated readers".

    Returns:
        The figure.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), sharey=True, width_ratios=[1.25, 1])
    order = {question: row for row, question in enumerate(reversed(QUESTIONS))}
    for number, (measure, name) in enumerate(NAMES.items()):
        own = agreement[agreement["measure"] == measure]
        y = own["question"].map(order).to_numpy(float) + (1 - number) * OFFSET
        _with_bars(left, own, "kappa", y=y, colour=PALETTE[number], label=name)
        if "implied" in own:
            left.plot(own["implied"], y, "|", color="black", markersize=13, markeredgewidth=1.8)
    handles, labels = left.get_legend_handles_labels()
    if "implied" in agreement:
        handles.append(Line2D([], [], color="black", marker="|", linestyle="", markersize=11, markeredgewidth=1.8))
        labels.append("implied by the readers' known error")
    left.set(xlabel=f"agreement beyond chance, κ ({level:.0%} interval)", title=f"How far {readers} agree")
    left.set_xlim(min(-0.05, left.get_xlim()[0]), 1.02)
    _with_bars(
        right, association, "rho", y=association["question"].map(order).to_numpy(float), colour=PALETTE[0], label=None
    )
    for row in association.itertuples():
        p = "unknown" if np.isnan(row.p) else p_text(row.p)
        right.text(
            1.02, order[row.question], f"P {p}\n{row.tiles} tiles of {row.patients} patients",
            transform=right.get_yaxis_transform(), va="center", fontsize="x-small",
        )  # fmt: skip
    right.set(xlabel=f"Spearman's ρ with the contribution ({level:.0%} interval)", xlim=(-1, 1),
              xticks=np.linspace(-1, 1, 5), title="Does the model react to what they see?")  # fmt: skip
    for ax in (left, right):
        ax.axvline(0, color="grey", linewidth=0.8)
        ax.set_yticks(list(order.values()), [QUESTIONS[question][0] for question in order])
    figure.legend(handles, labels, loc="outside lower left", ncols=4, fontsize="small")
    return figure


def _with_bars(ax, table: pd.DataFrame, name: str, *, y: np.ndarray, colour: str, label: str | None) -> None:  # type: ignore[no-untyped-def]
    middle = table[name].to_numpy(float)
    sides = np.abs(table[["low", "high"]].to_numpy(float).T - middle)
    ax.errorbar(middle, y, xerr=np.nan_to_num(sides), fmt="o", color=colour, label=label, markersize=5, linewidth=1.6)
