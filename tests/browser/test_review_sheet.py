"""The review sheet in a real browser: filled by keys and clicks, kept over a reload, downloaded, and read back."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from sarcnet.interpret.attribution.tiles import SeenTile
from sarcnet.interpret.review.design import WHERE_FROM, make_review
from sarcnet.interpret.review.parse import read_answers
from sarcnet.interpret.review.sheet import write_sheet


def begin(tab, reader: str) -> None:
    tab.click("#reader")
    for letter in reader:
        tab.press(letter)
    tab.click("#start button")
    tab.wait("!document.getElementById('review').hidden")


def test_a_reader_fills_the_sheet_offline_and_the_answers_come_back(tab, tmp_path):
    generator = np.random.default_rng(0)
    row = pd.Series(dict.fromkeys(WHERE_FROM, 1.0) | dict.fromkeys(["patient_id", "centre", "slide_id"], "p"))
    seen = [SeenTile(row, generator.integers(90, 220, (64, 64, 3)).astype(np.uint8), 112.0) for _ in range(3)]
    made = make_review(seen, repeats=1, checks=1, rng=generator)
    sheet, _, key = write_sheet(made, folder=tmp_path / "review", note="Simulated data").paths
    tab.open(sheet)
    begin(tab, "Jo")
    assert tab.evaluate("document.getElementById('note').textContent") == "Simulated data"
    assert tab.evaluate("document.getElementById('where').textContent") == "Tile 1 of 5"
    assert tab.evaluate("document.getElementById('picture').naturalWidth") == 64
    for pressed in "01n23":
        tab.press(pressed)
    tab.press("ArrowRight")
    tab.click("#q-necrosis input[value='2']")
    tab.click("#comment")
    for letter in "a;b":
        tab.press(letter)
    assert "19 answers in 4 tiles are missing" in tab.evaluate("document.getElementById('state').textContent")

    tab.open(sheet)  # the computer was switched off meanwhile
    begin(tab, "Jo")
    assert tab.evaluate("document.getElementById('where').textContent") == "Tile 2 of 5"
    assert tab.evaluate("document.querySelector('#q-necrosis input[value=\"2\"]').checked")
    tab.open(sheet)
    begin(tab, "Al")  # another reader at the same computer sees nothing of it
    assert "25 answers in 5 tiles are missing" in tab.evaluate("document.getElementById('state').textContent")
    tab.open(sheet)
    begin(tab, "Jo")

    tab.click("#download")
    found = tmp_path / "downloads" / f"review_{made.sheet_id}_Jo.csv"
    end = time.monotonic() + 300  # as patient as the page
    while not found.is_file():
        assert time.monotonic() < end, "nothing was downloaded"
        time.sleep(0.05)
    filled = read_answers([found], key=key)
    answers = filled.answers.set_index(["item_id", "question"])
    first, second = (item.item_id for item in made.items[:2])
    assert answers.loc[first, "answer"].tolist() == [0, 1, -1, 2, 3]
    assert answers.loc[(first, "anisokaryosis"), "state"] == "cannot judge"
    assert answers.loc[(second, "necrosis"), "answer"] == 2
    assert filled.problems["problem"].value_counts().to_dict() == {"missing": 19}
    assert filled.comments["comment"].tolist() == ["a;b"]
    assert not tab.errors
    assert {address.partition(":")[0] for address in tab.requests} <= {"file", "data", "blob"}
