"""The panel of rounds shows what the book of messages says, and moves with its slider."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from IPython.display import Markdown

from sarcnet.federated.panel import Panel, Rounds, round_panel

MIB = 2**20


@pytest.fixture
def rounds() -> Rounds:
    rows = [
        {"round": k, "hospital": h, "patients": n, "heldout_loss": 2.0 - 0.1 * k, "change_norm": 3.0 / k}
        for k in (1, 2, 3)
        for h, n in (("CLB", 30.0), ("IB", 90.0))
    ]
    sizes = {"from the hospital": MIB // 2, "to the hospital": MIB}
    traffic = [
        {"round": k, "hospital": h, "direction": d, "bytes": size}
        for k in (0, 1, 2, 3)
        for h in ("CLB", "IB")
        for d, size in sizes.items()
    ]
    scores = pd.DataFrame({"round": [1, 2, 3], "score": [0.6, 0.7, 0.72]})
    return Rounds(
        pd.DataFrame(rows), scores=scores, traffic=pd.DataFrame(traffic), score_name="AUC", note="simulated data"
    )


def texts(figure: plt.Figure) -> str:
    return "\n".join(text.get_text() for ax in figure.axes for text in ax.texts)


def test_a_round_says_weights_sizes_and_lengths(rounds):
    figure = rounds.draw(3)
    said = texts(figure)
    assert "weight 0.25" in said
    assert "weight 0.75" in said
    assert "down 1.00 MiB" in said
    assert "up 0.50 MiB" in said
    assert "length 1.00" in said
    assert "Round 3 of 3 · simulated data" in figure.get_suptitle()
    plt.close(figure)


def test_only_rounds_up_to_now_are_drawn(rounds):
    figure = rounds.draw(2)
    assert [len(line.get_xdata()) for line in figure.axes[1].lines] == [3, 2]  # grey: all, blue: up to now
    assert all(len(line.get_xdata()) == 2 for line in figure.axes[2].lines)
    plt.close(figure)


def test_slider_repaints(rounds):
    panel = Panel(rounds)
    first = panel.picture.value
    panel.slider.value = 3
    assert panel.picture.value != first
    panel.slider.value = 1
    assert panel.picture.value == first
    assert panel.slider.max == 3


def test_headless_gets_a_sentence(rounds, monkeypatch):
    monkeypatch.setenv("SARCNET_HEADLESS", "1")
    assert isinstance(round_panel(rounds), Markdown)
    monkeypatch.delenv("SARCNET_HEADLESS")
    assert not isinstance(round_panel(rounds), Markdown)
    figure = rounds.strip([1, 3])
    assert len(figure.axes) == 3
    plt.close(figure)
