"""The panel of rounds shows what the book of messages says, and moves with its slider."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from IPython.display import Markdown

from sarcnet.federated.analysis import widget as module
from sarcnet.federated.analysis.widget import Panel, Rounds

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
    scores = pd.DataFrame({"round": [1, 2, 3], "patients": 160, "score": [0.6, 0.7, 0.72]})
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
    assert "receives 1.00 MiB" in said
    assert "sends 0.50 MiB" in said
    assert "change 1.00" in said
    assert "change: Euclidean length" in said
    assert "n = 160 patients" in figure.axes[1].get_title()
    assert figure.axes[2].get_ylabel() == "negative log-likelihood per patient"
    assert "Round 3 of 3 · simulated data" in figure.get_suptitle()
    plt.close(figure)


def test_only_rounds_up_to_now_are_drawn(rounds):
    figure = rounds.draw(2)
    assert [len(line.get_xdata()) for line in figure.axes[1].lines] == [3, 2]  # grey: all, blue: up to now
    assert all(len(line.get_xdata()) == 2 for line in figure.axes[2].lines)
    plt.close(figure)


def test_boxes_of_many_hospitals_do_not_overlap(rounds):
    names = [f"HOSPITAL_{letter}" for letter in "ABCDEFGHIJ"]
    one, sent = rounds.rounds.query("hospital == 'CLB'"), rounds.traffic.query("hospital == 'CLB'")
    rounds = Rounds(
        pd.concat([one.assign(hospital=name) for name in names]), scores=rounds.scores,
        traffic=pd.concat([sent.assign(hospital=name) for name in names]), score_name="AUC", note="simulated data",
    )  # fmt: skip
    figure = rounds.draw(1)
    figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts if text.get_bbox_patch()]
    assert len(boxes) == 11
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plt.close(figure)


def test_slider_repaints(rounds):
    panel = Panel(rounds)
    first = panel.picture.value
    panel.slider.value = 3
    assert panel.picture.value != first
    assert "<b>Round 3 of 3</b> (simulated data)" in panel.text.value
    panel.slider.value = 1
    assert panel.picture.value == first
    assert panel.slider.max == 3


def test_a_round_in_words(rounds):
    said = rounds.sentence(2)
    assert "CLB received the common model (1.00 MiB), trained it on 30 patients and sent back its change" in said
    assert "(0.50 MiB, length 1.50), which counts with weight 0.25" in said
    assert "AUC, of 160 patients: <b>0.700</b> (+0.100 since round 1)." in said
    assert "since" not in rounds.sentence(1)


def test_names_cannot_bring_markup(rounds):
    hostile = Rounds(
        rounds.rounds.replace("IB", "<i>"), scores=rounds.scores, traffic=rounds.traffic.replace("IB", "<i>"),
        score_name="AUC", note="simulated data",
    )  # fmt: skip
    assert "&lt;i&gt; received" in hostile.sentence(1)


def test_headless_gets_a_sentence(rounds, monkeypatch):
    monkeypatch.setattr(module, "headless", lambda: True)
    assert isinstance(rounds.panel(), Markdown)
    monkeypatch.setattr(module, "headless", lambda: False)
    assert not isinstance(rounds.panel(), Markdown)
    figure = rounds.strip([1, 3])
    assert len(figure.axes) == 3
    plt.close(figure)
