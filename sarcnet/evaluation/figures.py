"""Figures of notebook 05."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.survival import HIGH, LOW, Curves
from sarcnet.evaluation.tables import PAPER, in_order, label

OURS, VALIDATION, THEIRS = PALETTE[0], PALETTE[4], PALETTE[6]
GROUP_COLOURS = {HIGH: PALETTE[1], LOW: PALETTE[0]}


def draw_forest(table: pd.DataFrame) -> Figure:
    """AUC with interval of every model in every series, and the paper's beside them. See tables.auc_table."""
    models = in_order(table["model"].unique().tolist())
    names = table["series"].unique().tolist()
    figure, axes = plt.subplots(
        1, len(names), figsize=(5.2 + 3.2 * (len(names) - 1), 0.42 * len(models) + 1.8), sharey=True
    )
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        own = table[table["series"] == name].set_index("model")
        for place, model in enumerate(models):
            if model in own.index:
                row = own.loc[model]
                ax.plot([row["low"], row["high"]], [place, place], color=OURS, linewidth=2)
                ax.plot(row["auc"], place, "o", color=OURS, markersize=6)
            if name == "cross-validation" and model in PAPER:
                paper = PAPER[model]
                ax.plot([paper.low, paper.high], [place + 0.28] * 2, color=THEIRS, linewidth=1.5)
                ax.plot(paper.value, place + 0.28, "D", color=THEIRS, markersize=4.5)
        ax.axvline(0.5, color="0.6", linewidth=1, linestyle=":")
        ax.set_title(f"{name}, n = {int(own['n'].iloc[0])}")
        ax.set_xlabel("AUC at 5 years (95 % interval)")
        ax.set_xlim(min(0.45, table["low"].min() - 0.02), 1.02)
        ax.grid(axis="x", alpha=0.3)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(range(len(models)), [label(model) for model in models])
    first.invert_yaxis()
    handles = [
        plt.Line2D([], [], color=OURS, marker="o", label="here"),
        plt.Line2D([], [], color=THEIRS, marker="D", markersize=5, label="paper (real patients)"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize="small")
    return figure


def draw_survival(found: dict[str, Curves], *, horizon_months: float) -> Figure:
    """Kaplan–Meier curves of high and low risk in each series, with numbers at risk."""
    figure, axes = plt.subplots(1, len(found), figsize=(5.0 * len(found), 4.4), sharey=True, squeeze=False)
    for ax, (name, curves) in zip(axes[0], found.items(), strict=True):
        for group, own in curves.steps.groupby("group", sort=False):
            colour = GROUP_COLOURS[str(group)]
            ax.step(own["months"], own["free"], where="post", color=colour, label=group)
            ax.fill_between(own["months"], own["low"], own["high"], step="post", color=colour, alpha=0.15, linewidth=0)
        shown = [float(month) for month in curves.at_risk.columns]
        ax.axvline(horizon_months, color="0.6", linewidth=1, linestyle=":")
        ax.set(xlim=(0, shown[-1]), ylim=(0, 1.02), xlabel="months since diagnosis", xticks=shown)
        n = int(curves.at_risk.iloc[:, 0].sum())
        p = "" if np.isnan(curves.p) else f", log-rank P {'< 0.001' if curves.p < 0.001 else f'= {curves.p:.3f}'}"
        ax.set_title(f"{name}, n = {n}{p}")
        for line, (group, numbers) in enumerate(curves.at_risk.iterrows()):
            y = -0.24 - 0.07 * line
            transform = ax.get_xaxis_transform()
            ax.text(
                -0.06, y, group, transform=ax.transAxes, ha="right", fontsize="small", color=GROUP_COLOURS[str(group)]
            )
            for month, number in zip(shown, numbers, strict=True):
                ax.text(month, y, str(number), transform=transform, ha="center", fontsize="small")
        ax.text(-0.06, -0.17, "at risk", transform=ax.transAxes, ha="right", fontsize="small")
    axes[0][0].set_ylabel("free of metastasis (share)")
    axes[0][0].legend(loc="lower left")
    return figure


def draw_calibration(
    found: dict[str, pd.DataFrame], risks: dict[str, pd.DataFrame], *, horizon_months: float
) -> Figure:
    """Above: observed against predicted risk by group. Below: how the predicted risk is spread, by what happened."""
    figure, axes = plt.subplots(
        2, len(found), figsize=(4.6 * len(found), 6.0), sharex=True, height_ratios=(2.2, 1), squeeze=False
    )
    for column, (name, groups) in enumerate(found.items()):
        ax = axes[0][column]
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
        errors = [groups["observed"] - groups["low"], groups["high"] - groups["observed"]]
        ax.errorbar(groups["predicted"], groups["observed"], yerr=errors, fmt="o-", color=OURS, capsize=3)
        ax.set(xlim=(0, 1), ylim=(0, 1), title=f"{name}, n = {int(groups['n'].sum())}")
        below, patients = axes[1][column], risks[name]
        event = (patients["mfs_event"] == 1) & (patients["mfs_months"] <= horizon_months)
        free = patients["mfs_months"] > horizon_months
        bins = np.linspace(0, 1, 21)
        below.hist(
            [patients.loc[event, "risk"], patients.loc[free, "risk"]],
            bins=bins,
            color=[GROUP_COLOURS[HIGH], GROUP_COLOURS[LOW]],
            label=["metastasis", "free at the horizon"],
        )
        below.set(xlabel=f"predicted risk of metastasis by {horizon_months:g} months")
        below.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("observed (1 − Kaplan–Meier, 95 % interval)")
    axes[1][0].set_ylabel("patients")
    figure.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize="small")
    return figure
