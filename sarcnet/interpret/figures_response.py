"""Figures of notebook 06 on how the risk responds: to a knob of the tumour, to a clinical variable."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.figures import PALETTE
from sarcnet.interpret.counterfactual import CONTROLS, ELSEWHERE, KNOBS, STAIN

MODEL, TRUTH = PALETTE[0], "black"
TITLES = {**KNOBS, STAIN: "stain strength (control)", ELSEWHERE: "another part (control)"}
PER_ROW = 4


def draw_counterfactual(found: pd.DataFrame, *, level: float) -> Figure:
    """Mean change of the 5-year risk when one knob is turned: the model's with its interval, and the true one.

    found: from :func:`sarcnet.interpret.counterfactual.responses`.
    """
    names = [name for name in (*KNOBS, *CONTROLS) if name in set(found["knob"])]
    rows = -(-len(names) // PER_ROW)
    figure, axes = plt.subplots(rows, PER_ROW, figsize=(11.0, 2.7 * rows), sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.ravel(), names, strict=False):
        own = found[found["knob"] == name].sort_values("step")
        step = np.append(own["step"], 0.0)
        order = np.argsort(step)
        model, truth = (100 * np.append(own[column], 0.0)[order] for column in ("model", "truth"))
        ax.axhline(0, color="0.8", linewidth=1)
        ax.plot(step[order], truth, "--", color=TRUTH, linewidth=1.2, label="true risk")
        ax.plot(step[order], model, color=MODEL, linewidth=1.8, label="model")
        ax.errorbar(
            own["step"], 100 * own["model"], color=MODEL, fmt="o", markersize=4,
            yerr=100 * np.abs(own[["low", "high"]].to_numpy().T - own["model"].to_numpy()),
        )  # fmt: skip
        ax.set_title(TITLES[name], fontsize="small")
        ax.grid(axis="y", alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel("change of 5-year risk\n(percentage points)")
    for ax in axes[-1]:
        ax.set_xlabel("turned by (standard units)")
    axes[0][0].legend(fontsize="x-small", loc="upper left")
    figure.suptitle(f"{int(found['n'].max())} tumours painted again, {level:.0%} intervals", fontsize="medium")
    return figure
