"""Figures of notebook 05 about the risks themselves: groups in time, calibration, decisions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.calibration.by_series import Calibrations
from sarcnet.evaluation.comparators.cox import FNCLCC
from sarcnet.evaluation.metrics.auc import DEATH, METASTASIS
from sarcnet.evaluation.metrics.bootstrap import p_text
from sarcnet.evaluation.metrics.kaplan_meier import HIGH, LOW, Curves
from sarcnet.evaluation.metrics.net_benefit import ALL, NONE
from sarcnet.evaluation.subgroups.risk_groups import FREE, LOST, fates
from sarcnet.model.names.words import label

OURS = PALETTE[0]
GROUP_COLOURS = {HIGH: PALETTE[1], LOW: PALETTE[0]}
CODE_COLOURS = {METASTASIS: PALETTE[1], DEATH: PALETTE[6]}


def _p(name: str, value: float) -> str:
    """The P value of a test as text; empty where the test was not made."""
    return "" if np.isnan(value) else f"{name} P {p_text(value)}"


def draw_survival(found: dict[str, Curves], *, horizon_months: float, endpoint: Endpoint) -> Figure:
    """High and low risk in each series. Above: Kaplan–Meier; below: Aalen–Johansen, with numbers at risk.

    Args:
        found: curves by name of the series.
        horizon_months: horizon of the outcome, in months.
        endpoint: what counts as the event, and its words.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        2, len(found), figsize=(5.2 * len(found), 7.6), sharex="col", sharey="row", squeeze=False
    )
    for column, (name, curves) in enumerate(found.items()):
        above, below = axes[0][column], axes[1][column]
        for group, own in curves.steps.groupby("group", sort=False):
            colour = GROUP_COLOURS[str(group)]
            above.step(own["months"], own["free"], where="post", color=colour, label=group)
            above.fill_between(
                own["months"], own["low"], own["high"], step="post", color=colour, alpha=0.15, linewidth=0
            )
        for (group, event), own in curves.incidence.groupby(["group", "event"], sort=False):
            colour, line = GROUP_COLOURS[str(group)], "-" if event == endpoint.event else "--"
            below.step(
                own["months"], own["risk"], where="post", color=colour, linestyle=line, label=f"{group}: {event}"
            )
            if event == endpoint.event:
                below.fill_between(
                    own["months"], own["low"], own["high"], step="post", color=colour, alpha=0.15, linewidth=0
                )
        shown = [float(month) for month in curves.at_risk.columns]
        for ax in (above, below):
            ax.axvline(horizon_months, color="0.6", linewidth=1, linestyle=":")
            ax.set(xlim=(0, shown[-1]), ylim=(0, 1.02), xticks=shown)
        n = int(curves.at_risk.iloc[:, 0].sum())
        above.set_title(", ".join(filter(None, [f"{name}, n = {n}", _p("log-rank", curves.p)])))
        below.set_title(_p("Gray's test", curves.gray_p))
        below.set_xlabel("months since diagnosis")
        _numbers_at_risk(below, curves.at_risk, shown, named=column == 0)
    if (engine := figure.get_layout_engine()) is not None:
        engine.set(wspace=0.06)  # type: ignore[call-arg]  # so that two rows of numbers at risk do not run together
    axes[0][0].set_ylabel(endpoint.survival.replace(", ", ",\n"))
    axes[1][0].set_ylabel("cumulative incidence" + ("\n(death competes)" if endpoint.competing else ""))
    axes[0][0].legend(loc="lower left")
    handles, names = axes[1][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2 * len(found), fontsize="small")
    return figure


def _numbers_at_risk(ax: Axes, at_risk: pd.DataFrame, shown: Sequence[float], *, named: bool) -> None:
    for line, (group, numbers) in enumerate(at_risk.iterrows()):
        y, colour = -0.28 - 0.08 * line, GROUP_COLOURS[str(group)]
        if named:
            ax.text(-0.06, y, str(group), transform=ax.transAxes, ha="right", fontsize="small", color=colour)
        for month, number in zip(shown, numbers, strict=True):
            ax.text(
                month, y, str(number), transform=ax.get_xaxis_transform(), ha="center", fontsize="small", color=colour
            )
    if named:
        ax.text(-0.06, -0.20, "at risk", transform=ax.transAxes, ha="right", fontsize="small")


def outcome_colours(endpoint: Endpoint) -> dict[str, str]:
    """What can become of a patient by the horizon, with its colour: an event, free, a competing death, lost."""
    event, *competing = ({words: CODE_COLOURS[code]} for code, words in endpoint.codes.items())
    return event | {FREE: PALETTE[0]} | dict(item for words in competing for item in words.items()) | {LOST: "0.82"}


def draw_calibration(
    found: Calibrations,
    risks: dict[str, pd.DataFrame],
    *,
    horizon_months: float,
    level: float,
    endpoint: Endpoint,
) -> Figure:
    """Above: observed (Aalen–Johansen) against predicted risk, smooth and by group. Below: predicted risks by outcome.

    Args:
        found: from :func:`sarcnet.evaluation.calibration.calibration_of`.
        risks: by series, patients with a column risk.
        horizon_months: horizon of the outcome, in months.
        level: coverage of the intervals, for example 0.95.
        endpoint: what counts as the event, and its words.

    Returns:
        The figure.
    """
    names, colours = list(found.lived), outcome_colours(endpoint)
    figure, axes = plt.subplots(
        2, len(names), figsize=(4.9 * len(names), 6.6), sharex=True, height_ratios=(2.2, 1), squeeze=False
    )
    for column, name in enumerate(names):
        ax, below, made = axes[0][column], axes[1][column], found.lived[name]
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
        smooth = made.smooth
        ax.plot(smooth["predicted"], smooth["observed"], color=OURS, label="smooth, pseudo-values")
        ax.fill_between(smooth["predicted"], smooth["low"], smooth["high"], color=OURS, alpha=0.15, linewidth=0)
        groups = found.groups.get(name)
        if groups is not None:
            errors = [groups["observed"] - groups["low"], groups["high"] - groups["observed"]]
            ax.errorbar(
                groups["predicted"], groups["observed"], yerr=errors, fmt="s", color="black", capsize=3, label="groups"
            )
        text = f"slope {made.slope.text('.2f')}\nintercept {made.intercept.text('+.2f')}\nICI {made.ici}"
        ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize="small")
        ax.set(xlim=(0, 1), ylim=(0, 1), title=f"{name}, n = {len(risks[name])}")
        own, bins = fates(risks[name], horizon_months=horizon_months, endpoint=endpoint), np.linspace(0, 1, 21)
        parts = [risks[name].loc[own == fate, "risk"] for fate in colours]
        below.hist(parts, bins=bins, stacked=True, color=list(colours.values()), label=list(colours))
        below.set(xlabel=f"predicted risk of {endpoint.event} by {horizon_months:g} months")
        below.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel(f"observed (Aalen–Johansen, {level:.0%} interval)")
    axes[0][0].legend(loc="lower right", fontsize="small")
    axes[1][0].set_ylabel("patients")
    figure.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize="small")
    return figure


def draw_decision(
    found: pd.DataFrame, *, marked: Sequence[float], n: int, name: str, level: float, endpoint: Endpoint
) -> Figure:
    """Net benefit over the threshold, in true positives for 100 patients; the stated thresholds are marked.

    Args:
        found: from :func:`sarcnet.evaluation.clinical_value.decisions_of`.
        marked: thresholds to be marked.
        n: number of patients.
        name: name of the series.
        level: coverage of the intervals, for example 0.95.
        endpoint: what counts as the event, and its words.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(7.2, 4.4))
    colours = iter((PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[3]))
    fixed = {ALL: ("0.45", "-"), NONE: ("black", "-"), FNCLCC: (PALETTE[6], "--")}
    for model, own in found.groupby("model", sort=False):
        colour, line = fixed.get(str(model)) or (next(colours), "-")
        text = "treat grade 3" if model == FNCLCC else label(str(model))
        ax.plot(own["threshold"], 100 * own["benefit"], color=colour, linestyle=line, label=text)
        if model not in fixed:
            ax.fill_between(
                own["threshold"], 100 * own["low"], 100 * own["high"], color=colour, alpha=0.12, linewidth=0
            )
    for threshold in marked:
        ax.axvline(threshold, color="0.6", linewidth=1, linestyle=":")
    top = 100 * found["high"].max()
    ax.set(ylim=(-0.12 * top, 1.05 * top), xlabel=f"risk of {endpoint.event} at which one would treat")
    ax.set_ylabel(f"net benefit, per 100 patients ({level:.0%} band)")
    ax.set_title(f"{name}, n = {n}")
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return figure
