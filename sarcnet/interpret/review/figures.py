"""The figure of a review: how far readers agree, and whether the contributions rise with what they see."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.metrics.bootstrap import p_text
from sarcnet.interpret.figures.forest import draw_forest
from sarcnet.interpret.review.analysis import MEASURES
from sarcnet.interpret.review.design import QUESTIONS

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
    questions = list(QUESTIONS)
    for number, (measure, name) in enumerate(MEASURES.items()):
        table = agreement[agreement["measure"] == measure]
        offset = (number - 1) * OFFSET
        draw_forest(
            left,
            table,
            rows=questions,
            key="question",
            value="kappa",
            offset=offset,
            colour=PALETTE[number],
            label=name,
        )
        if "implied" in table:
            label = "implied by the readers' known error" if number == len(MEASURES) - 1 else None
            y = table["question"].map(questions.index) + offset
            left.plot(table["implied"], y, "|", color="black", markersize=13, markeredgewidth=1.8, label=label)
    left.set(xlabel=f"agreement beyond chance, κ ({level:.0%} interval)", title=f"How far {readers} agree")
    left.set_xlim(min(-0.05, left.get_xlim()[0]), 1.02)
    draw_forest(right, association, rows=questions, key="question", value="rho", colour=PALETTE[0])
    for row in association.itertuples():
        p = "unknown" if np.isnan(row.p) else p_text(row.p)
        right.text(
            1.02, questions.index(row.question), f"P {p}\n{row.tiles} tiles of {row.patients} patients",
            transform=right.get_yaxis_transform(), va="center", fontsize="x-small",
        )  # fmt: skip
    right.set(xlabel=f"Spearman's ρ with the contribution ({level:.0%} interval)", xlim=(-1, 1),
              xticks=np.linspace(-1, 1, 5), title="Does the model react to what they see?")  # fmt: skip
    for ax in (left, right):
        ax.axvline(0, color="grey", linewidth=0.8)
    left.set_yticks(range(len(questions)), [title for title, _ in QUESTIONS.values()])
    left.invert_yaxis()
    figure.legend(loc="outside lower left", ncols=4, fontsize="small")
    return figure
