"""Stepping through the rounds: what travels in each, what comes of it, with a slider in JupyterLab."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import resources

import ipywidgets
import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.compendium.figures import hospital_colours
from sarcnet.compendium.progress import headless

MIB = 2**20
#: Okabe–Ito colours: told apart with any colour vision.
FEDERATED = "#0072B2"
DIRECTIONS = {"from the hospital": "#D55E00", "to the hospital": "#56B4E9"}
SERVER_AT, HOSPITALS_AT, KEY_AT = 0.95, 0.34, 0.04  # heights in the picture
HOSPITAL_IN, OTHERS_IN, HEIGHT_IN, DPI = 1.65, 6.6, 3.8, 110  # width of a hospital's box, of the two curves; height
KEY = (
    "patients: training patients of a network, mean of all networks\n"
    "weight: share of the patients\n"
    "change: Euclidean length of what is sent, longest of all networks"
)
HEADLESS = (
    "*Opened in JupyterLab, this notebook shows a panel here: a slider over the rounds, and for each round what the server "
    "sent, what each hospital sent back, and what has come of it. The figure above shows some of its rounds.*"
)


class Rounds:
    """The rounds of one training, ready to be drawn.

    Args:
        rounds: round, hospital, patients, heldout_loss, change_norm.
        scores: round, patients, score of the averaged model.
        traffic: of `sarcnet.federated.app.ledger.traffic`.
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
        self.patients = int(scores["patients"].max())

    @property
    def messages_in(self) -> float:
        """Width of the picture of the messages, inches: every hospital's box has room."""
        return max(2.8, HOSPITAL_IN * len(self.hospitals))

    def at(self, number: int) -> pd.DataFrame:
        """What travelled in one round, a row a hospital: patients, change_norm, weight, down_mib, up_mib."""
        own = self.rounds[self.rounds["round"] == number].set_index("hospital")[["patients", "change_norm"]]
        sent = self.traffic[self.traffic["round"] == number].pivot(
            index="hospital", columns="direction", values="bytes"
        )
        return own.assign(
            weight=own["patients"] / own["patients"].sum(),
            down_mib=sent["to the hospital"] / MIB,
            up_mib=sent["from the hospital"] / MIB,
        ).loc[self.hospitals]

    def score(self, number: int) -> float:
        """Score of the averaged model after a round; NaN when it was not computed."""
        scores = self.scores.loc[self.scores["round"] == number, "score"]
        return float(scores.iloc[0]) if len(scores) else float("nan")

    def sentence(self, number: int) -> str:
        """One round in words, as HTML: for readers who cannot see the picture, and to copy from."""
        return _template().render(
            number=number,
            last=self.last,
            note=self.note,
            hospitals=self.at(number).reset_index().to_dict("records"),
            score_name=self.score_name,
            patients=self.patients,
            score=self.score(number),
            gain=self.score(number) - self.score(number - 1),
        )

    def panel(self) -> ipywidgets.Widget | Markdown:
        """A slider over the rounds and the picture of one; a sentence instead where nobody is there to move it."""
        return Markdown(HEADLESS) if headless() else Panel(self).box

    def draw(self, number: int) -> Figure:
        """One round: messages on the left, score and losses up to it on the right."""
        left = self.messages_in + 1.0
        figure, axes = plt.subplots(
            1, 3, figsize=(left + OTHERS_IN, HEIGHT_IN), width_ratios=(2 * left / OTHERS_IN, 1, 1), layout="constrained"
        )
        self.messages(axes[0], number)
        _key(axes[0])
        self._score(axes[1], number)
        self._losses(axes[2], number)
        figure.suptitle(f"Round {number} of {self.last} · {self.note}", fontsize="medium")
        return figure

    def strip(self, numbers: Sequence[int]) -> Figure:
        """The messages of some rounds beside each other, and the losses of all."""
        wide = self.messages_in + 0.4
        figure, axes = plt.subplots(
            1, len(numbers) + 1, figsize=(wide * len(numbers) + OTHERS_IN / 2, HEIGHT_IN),
            width_ratios=[wide] * len(numbers) + [OTHERS_IN / 2], layout="constrained",
        )  # fmt: skip
        for ax, number in zip(axes, numbers, strict=False):
            self.messages(ax, number)
            ax.set_title(f"round {number}", fontsize="medium")
        _key(axes[0])
        self._losses(axes[-1], self.last)
        return figure

    def messages(self, ax: Axes, number: int) -> None:
        """The server above, the hospitals below; down goes the model, up come the changes."""
        ax.axis("off")
        ax.set(xlim=(0, 1), ylim=(-0.1, 1))
        _box(ax, 0.5, SERVER_AT, "server: no patient", "#EEEEEE")
        count, shades = len(self.hospitals), hospital_colours(self.hospitals)
        for k, (name, row) in enumerate(self.at(number).iterrows()):
            x, aside = (k + 0.5) / count, 0.08 / count
            text = (
                f"{name}\n{row['patients']:.0f} patients\nweight {row['weight']:.2f}\nchange {row['change_norm']:.2f}\n"
                f"receives {row['down_mib']:.2f} MiB\nsends {row['up_mib']:.2f} MiB"
            )
            _box(ax, x, HOSPITALS_AT, text, shades[str(name)] + "55")
            for (direction, tint), side in zip(DIRECTIONS.items(), (aside, -aside), strict=True):
                ends = [(x + side, HOSPITALS_AT + 0.27), (0.5 + 0.35 * (x - 0.5) + side, SERVER_AT - 0.07)]
                start, stop = ends if direction == "from the hospital" else ends[::-1]
                ax.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "color": tint, "linewidth": 1.6})

    def _score(self, ax: Axes, number: int) -> None:
        until = self.scores[self.scores["round"] <= number]
        ax.plot(self.scores["round"], self.scores["score"], color="0.85")
        ax.plot(until["round"], until["score"], "o-", color=FEDERATED, markersize=4)
        score = self.score(number)
        if score == score:
            edge = "left" if number <= self.last / 2 else "right"
            ax.annotate(
                f"{score:.3f}", (number, score), (0, -14), textcoords="offset points", ha=edge, fontsize="small"
            )
        ax.margins(y=0.15)
        self._label(ax, "averaged model", f"{self.score_name}\n(n = {self.patients} patients)")

    def _losses(self, ax: Axes, number: int) -> None:
        until = self.rounds[self.rounds["round"] <= number]
        for name, colour in hospital_colours(self.hospitals).items():
            own = until[until["hospital"] == name]
            ax.plot(own["round"], own["heldout_loss"], "o-", color=colour, markersize=4, label=name)
        low, high = self.rounds["heldout_loss"].min(), self.rounds["heldout_loss"].max()
        pad = 0.08 * max(high - low, 1e-6)
        ax.set(ylim=(low - pad, high + pad))
        ax.legend(fontsize="x-small")
        title = "Loss on each hospital's held-out patients,\nafter its own training"
        self._label(ax, "negative log-likelihood per patient", title)

    def _label(self, ax: Axes, ylabel: str, title: str) -> None:
        ax.set(xlabel="round", xlim=(0.5, self.last + 0.5))
        ax.set_ylabel(ylabel, fontsize="small")
        ax.set_title(title, fontsize="small")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _template() -> jinja2.Template:
    text = resources.files("sarcnet.federated.analysis").joinpath("round.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)


class Panel:
    """Widgets and the picture they keep up to date: `box` is what a notebook shows."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._painted: dict[int, bytes] = {}
        self.slider = ipywidgets.IntSlider(
            value=1, min=1, max=rounds.last, description="round", layout={"width": "420px"}
        )
        # Without repeat the button does nothing once the last round is shown.
        self.play = ipywidgets.Play(value=1, min=1, max=rounds.last, interval=900, repeat=True)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.picture = ipywidgets.Image(format="png", layout={"width": "98%", "max_width": "1100px"})
        self.text = ipywidgets.HTML(layout={"width": "98%", "max_width": "1100px"})
        self.slider.observe(self._paint, names="value")
        self._paint()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.play, self.slider]), self.picture, self.text])

    def _paint(self, _: object = None) -> None:
        number = self.slider.value
        if number not in self._painted:
            figure, packed = self._rounds.draw(number), io.BytesIO()
            figure.savefig(packed, format="png", dpi=DPI)
            plt.close(figure)
            self._painted[number] = packed.getvalue()
        self.picture.value = self._painted[number]
        self.text.value = self._rounds.sentence(number)


def _box(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize="small",
            bbox={"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "0.4"})  # fmt: skip


def _key(ax: Axes) -> None:
    """What the words in the boxes mean; it may run under the next picture, which is empty there."""
    ax.text(0, KEY_AT, KEY, va="top", fontsize="x-small", color="0.3", in_layout=False)
