"""Stepping through the rounds: what travels in each, what comes of it, with a slider in JupyterLab."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.federated.figures import DIRECTIONS, FEDERATED, MIB

SERVER_AT, HOSPITALS_AT = 0.88, 0.16  # heights in the picture
HEADLESS = (
    "*Opened in JupyterLab, this notebook shows a panel here: a slider over the rounds, and for each round what the server "
    "sent, what each hospital sent back, and what has come of it. The figure above shows some of its rounds.*"
)
COLOURS = ("#E69F00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#D55E00")


class Rounds:
    """The rounds of one training, ready to be drawn.

    Args:
        rounds: round, hospital, patients, heldout_loss, change_norm.
        scores: round, score of the averaged model.
        traffic: of `sarcnet.federated.ledger.traffic`.
        score_name: what the score is.
        note: the kind of data, said on every picture.
    """

    def __init__(
        self, rounds: pd.DataFrame, *, scores: pd.DataFrame, traffic: pd.DataFrame, score_name: str, note: str
    ) -> None:
        self.rounds, self.scores, self.traffic = rounds, scores, traffic
        self.score_name, self.note = score_name, note
        self.hospitals = sorted(rounds["hospital"].unique())
        self.last = int(rounds["round"].max())

    def draw(self, number: int) -> Figure:
        """One round: messages on the left, score and losses up to it on the right."""
        figure, axes = plt.subplots(1, 3, figsize=(11.0, 3.4), width_ratios=(1.5, 1, 1), layout="constrained")
        self.messages(axes[0], number)
        self._score(axes[1], number)
        self._losses(axes[2], number)
        figure.suptitle(f"Round {number} of {self.last} · {self.note}", fontsize="medium")
        return figure

    def strip(self, numbers: Sequence[int]) -> Figure:
        """The messages of some rounds beside each other, and the score and losses of all."""
        figure, axes = plt.subplots(1, len(numbers) + 1, figsize=(3.6 * (len(numbers) + 1), 3.3), layout="constrained")
        for ax, number in zip(axes, numbers, strict=False):
            self.messages(ax, number)
            ax.set_title(f"round {number}", fontsize="medium")
        self._losses(axes[-1], self.last)
        return figure

    def messages(self, ax: Axes, number: int) -> None:
        """The server above, the hospitals below; down goes the model, up come the changes."""
        own = self.rounds[self.rounds["round"] == number].set_index("hospital")
        share = own["patients"] / own["patients"].sum()
        sent = self.traffic[self.traffic["round"] == number].pivot(
            index="hospital", columns="direction", values="bytes"
        )
        ax.axis("off")
        ax.set(xlim=(-0.05, 1.05), ylim=(0, 1))
        _box(ax, 0.5, SERVER_AT, "server: no patient", "#EEEEEE")
        places = [(k + 0.5) / len(self.hospitals) for k in range(len(self.hospitals))]
        for x, name, colour in zip(places, self.hospitals, COLOURS * 9, strict=False):
            _box(ax, x, HOSPITALS_AT, f"{name}\n{own.loc[name, 'patients']:.0f} patients a network", colour + "55")
            for (direction, tint), side in zip(DIRECTIONS.items(), (0.025, -0.025), strict=True):
                up = direction == "from the hospital"
                ends = [(x + side, HOSPITALS_AT + 0.12), (0.5 + 0.35 * (x - 0.5) + side, SERVER_AT - 0.08)]
                start, stop = ends if up else ends[::-1]
                ax.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "color": tint, "linewidth": 1.6})
            text = (
                f"down {sent.loc[name, 'to the hospital'] / MIB:.2f} MiB\n"
                f"up {sent.loc[name, 'from the hospital'] / MIB:.2f} MiB\n"
                f"length {own.loc[name, 'change_norm']:.2f}\nweight {share[name]:.2f}"
            )
            outwards = x + 0.5 * (x - 0.5)
            ax.text(outwards, 0.52, text, ha="center", va="center", fontsize="x-small")

    def _score(self, ax: Axes, number: int) -> None:
        seen = self.scores[self.scores["round"] <= number]
        ax.plot(self.scores["round"], self.scores["score"], color="0.85")
        ax.plot(seen["round"], seen["score"], "o-", color=FEDERATED, markersize=4)
        ax.set(xlabel="round", title=self.score_name, xlim=(0.5, self.last + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

    def _losses(self, ax: Axes, number: int) -> None:
        for name, colour in zip(self.hospitals, COLOURS * 9, strict=False):
            own = self.rounds[(self.rounds["hospital"] == name) & (self.rounds["round"] <= number)]
            ax.plot(own["round"], own["heldout_loss"], "o-", color=colour, markersize=4, label=name)
        low, high = self.rounds["heldout_loss"].min(), self.rounds["heldout_loss"].max()
        pad = 0.05 * max(high - low, 1e-6)
        ax.set(
            xlabel="round", title="loss on patients held out", xlim=(0.5, self.last + 0.5), ylim=(low - pad, high + pad)
        )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(fontsize="x-small")


def round_panel(rounds: Rounds) -> ipywidgets.Widget | Markdown:
    """A slider over the rounds and the picture of one; a sentence instead where nobody is there to move it."""
    return Markdown(HEADLESS) if os.environ.get("SARCNET_HEADLESS") else Panel(rounds).box


class Panel:
    """Widgets and the picture they keep up to date: `box` is what a notebook shows."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self.slider = ipywidgets.IntSlider(
            value=1, min=1, max=rounds.last, description="round", layout={"width": "420px"}
        )
        self.play = ipywidgets.Play(value=1, min=1, max=rounds.last, interval=900)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.picture = ipywidgets.Image(format="png", layout={"width": "1000px"})
        self.slider.observe(self._paint, names="value")
        self._paint()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.play, self.slider]), self.picture])

    def _paint(self, _: object = None) -> None:
        figure, packed = self._rounds.draw(self.slider.value), io.BytesIO()
        figure.savefig(packed, format="png", dpi=100)
        plt.close(figure)
        self.picture.value = packed.getvalue()


def _box(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize="small",
            bbox={"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "0.4"})  # fmt: skip
