"""Figure of notebook 04.

The model round by round beside the pooled and the local ones, and what crossed the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.compendium.figures import hospital_colours

MIB = 2**20
#: Okabe–Ito colours: told apart with any colour vision.
FEDERATED, POOLED = "#0072B2", "#000000"
DIRECTIONS = {"from the hospital": "#D55E00", "to the hospital": "#56B4E9"}


def draw_federation(
    *,
    scores: pd.DataFrame,
    references: Mapping[str, float],
    losses: pd.DataFrame,
    traffic: pd.DataFrame,
    score_name: str,
    title: str,
) -> Figure:
    """Three panels over the rounds.

    scores: round, score of the averaged model. references: model → score of the models of notebook 03.
    losses: curve, round (in epochs trained, divided by local epochs), loss. traffic: of
    `sarcnet.federated.app.ledger.traffic`.
    """
    fig, axes = plt.subplots(1, 3, figsize=(11.5, 4.2), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr, call-arg]
    fig.suptitle(title, fontsize="medium")
    _scores(axes[0], scores, references, score_name)
    _losses(axes[1], losses)
    _traffic(axes[2], traffic)
    return fig


def _scores(ax: Axes, scores: pd.DataFrame, references: Mapping[str, float], score_name: str) -> None:
    last = int(scores["round"].max())
    ax.plot(
        scores["round"], scores["score"], color=FEDERATED, marker="o", markersize=3, label="federated, after the round"
    )
    alone = hospital_colours(name for name, _ in references.items() if name != "sarcnet_pooled")
    for name, value in references.items():
        label = f"{_readable(name)} ({value:.3f})"
        if name == "sarcnet_pooled":
            ax.axhline(value, color=POOLED, linewidth=1.2, label=label)
        else:  # above the pooled model's line and broken, so that neither hides the other where they are alike
            ax.axhline(value, color=alone[name], linestyle="--", linewidth=1.6, zorder=3, label=label)
    ax.set(xlabel="round", ylabel=score_name, xlim=(0.5, last + 0.5), title="Tells patients apart")
    _below(ax)


def _losses(ax: Axes, losses: pd.DataFrame) -> None:
    colours = {"federated": FEDERATED, "pooled": POOLED}
    for curve, rows in losses.groupby("curve", sort=False):
        who, patients = str(curve).split(", ")
        style = "-" if patients == "held-out patients" else ":"
        ax.plot(rows["round"], rows["loss"], color=colours[who], linestyle=style, label=curve)
    ax.set(xlabel="round (pooled: as many epochs)", ylabel="negative log-likelihood per patient")
    ax.set_title("Learns")
    _below(ax)


def _traffic(ax: Axes, traffic: pd.DataFrame) -> None:
    names = sorted(traffic["hospital"].unique())
    width = 0.8 / len(names)
    for i, hospital in enumerate(names):
        own = traffic[traffic["hospital"] == hospital].pivot(index="round", columns="direction", values="bytes") / MIB
        place = own.index + (i - (len(names) - 1) / 2) * width
        bottom = pd.Series(0.0, index=own.index)
        for direction, colour in DIRECTIONS.items():
            label = direction.replace("the hospital", "a hospital") if i == 0 else None
            ax.bar(place, own[direction], width * 0.9, bottom=bottom, color=colour, label=label)
            bottom = bottom + own[direction]
    ax.set(xlabel="round (0: sums; last: evaluation)", ylabel="MiB in a round")
    ax.set_title(f"Crossed the wire\n(bars in each round: {', '.join(names)})", fontsize="small")
    _below(ax)


def _below(ax: Axes) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)


def _readable(name: str) -> str:
    return name.replace("sarcnet_pooled", "pooled").replace("local_", "alone: ")


def losses(rounds: pd.DataFrame, curves: pd.DataFrame, *, local_epochs: int) -> pd.DataFrame:
    """Losses per patient on one axis of rounds: curve ("federated, held-out patients", ...), round, loss.

    rounds: a row a round and hospital (patients, training_loss, heldout_loss), averaged over hospitals by patients.
    curves: learning curves of notebook 03; epoch e of the pooled model stands at round (e + 1) / local_epochs.
    """
    names = {"training_loss": "training patients", "heldout_loss": "held-out patients"}
    pooled = curves[curves["model"] == "sarcnet_pooled"].groupby("epoch")[list(names)].mean()
    frames = []
    for column, patients in names.items():
        share = rounds["patients"] / rounds.groupby("round")["patients"].transform("sum")
        federated = (rounds[column] * share).groupby(rounds["round"]).sum()
        places = {"federated": federated, "pooled": pooled[column].set_axis((pooled.index + 1) / local_epochs)}
        for who, loss in places.items():
            frames.append(pd.DataFrame({"curve": f"{who}, {patients}", "round": loss.index, "loss": loss.to_numpy()}))
    return pd.concat(frames, ignore_index=True)
