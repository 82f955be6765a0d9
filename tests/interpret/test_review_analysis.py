"""What comes out of a review is what was put in: readers of known error, patterns that move the score or do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.correlation import weighted_spearman
from sarcnet.interpret.attribution.tiles import SeenTile
from sarcnet.interpret.review.analysis import agreement_table, association_table, check_pathologists
from sarcnet.interpret.review.design import QUESTIONS, make_review
from sarcnet.interpret.review.kappa import cluster_weights, weighted_kappa
from sarcnet.interpret.review.parse import read_answers
from sarcnet.interpret.review.sheet import write_sheet
from sarcnet.morphometry.geometry import TileGeometry
from virtual_cohort.experiments.simulated_readers import (
    SimulatedReader,
    fill_sheet,
    implied_kappa,
    mitoses_in_tiles,
    true_categories,
    with_implied,
)

READERS = (SimulatedReader("A", 0.8), SimulatedReader("B", 0.7, 0.8), SimulatedReader("C", 0.6))
BOOTSTRAP = {"samples": 400, "level": 0.95}


def test_weighted_spearman_is_that_of_the_repeated_rows():
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 4, 40).astype(float), generator.normal(size=40)
    weights = cluster_weights(np.arange(40) // 4, samples=30, rng=generator)
    found = weighted_spearman(x, y, weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        index = np.repeat(np.arange(40), row)
        assert value == pytest.approx(spearmanr(x[index], y[index]).statistic)
    assert np.isnan(weighted_spearman(np.ones(40), y, weights)).all()


def test_chances_by_hand():
    assert SimulatedReader("x", 0.7, 0.8).chances() == pytest.approx(
        np.array([[0.76, 0.24, 0, 0], [0.06, 0.7, 0.24, 0], [0, 0.06, 0.7, 0.24], [0, 0, 0.06, 0.94]])
    )


def test_implied_kappa_is_that_of_very_many_drawn_tiles():
    generator = np.random.default_rng(1)
    true = np.repeat([0, 1, 2, 3], [40, 30, 20, 10])
    many = np.tile(true, 1500)
    views = []
    for reader in READERS:
        table = reader.chances().cumsum(axis=1)
        views.append([(generator.random(len(many))[:, None] >= table[many][:, :-1]).sum(axis=1) for _ in range(2)])

    def joint(a, b):
        return np.bincount(a * 4 + b, minlength=16).reshape(4, 4)

    pairs = [joint(views[a][0], views[b][0]) for a, b in ((0, 1), (0, 2), (1, 2))]
    weighted = np.mean([weighted_kappa(pair) for pair in pairs])
    within = weighted_kappa(sum(joint(*both) for both in views))
    assert implied_kappa(READERS, true, measure="weighted") == pytest.approx(weighted, abs=0.01)
    assert implied_kappa(READERS, true, measure="within") == pytest.approx(within, abs=0.01)
    shares = np.mean([np.bincount(view[0], minlength=4) / len(many) for view in views], axis=0)
    agree = np.mean([np.trace(pair) / len(many) for pair in pairs])
    fleiss = (agree - (shares**2).sum()) / (1 - (shares**2).sum())
    assert implied_kappa(READERS, true, measure="fleiss") == pytest.approx(fleiss, abs=0.01)
    assert implied_kappa([SimulatedReader("perfect", 1.0)] * 2, true, measure="weighted") == 1
    with pytest.raises(SarcnetError, match="no measure of agreement called cohen"):
        implied_kappa(READERS, true, measure="cohen")


def test_categories_follow_quartiles_and_fixed_cuts_and_nan_cannot_be_judged():
    truth = pd.DataFrame(
        {"cellularity_per_mm2": [1, 2, 3, 4], "nuclear_area_um2": [np.nan, 40, 50, 60], "anisokaryosis_cv": [0.1] * 4,
         "necrosis_fraction": [0, 0.1, 0.5, 0.9], "mitoses": [0, 1, 2, 9]}
    )  # fmt: skip
    found = true_categories(truth)
    assert found["cellularity"].tolist() == [0, 1, 2, 3]
    assert found["atypia"].tolist() == [-1, 0, 2, 3]
    assert found["necrosis"].tolist() == found["mitoses"].tolist() == [0, 1, 2, 3]
    with pytest.raises(SarcnetError, match="need the true mitoses"):
        true_categories(truth.drop(columns="mitoses"))


def test_true_mitoses_are_counted_in_their_tile(tmp_path):
    rows = [(5, 5, "mitosis"), (99, 99, "mitosis"), (50, 50, "tumour"), (105, 5, "mitosis")]
    path = tmp_path / "s.parquet"
    pd.DataFrame(rows, columns=["x_um", "y_um", "class"]).to_parquet(path)
    tiles = pd.DataFrame({"slide_id": "s", "x_px": [0, 200, 400], "y_px": [0, 0, 0]}, index=[7, 3, 5])
    found = mitoses_in_tiles(tiles, nuclei={"s": path}, geometry={"s": TileGeometry(0.5, 100.0, 200)})
    assert found.tolist() == [2, 1, 0]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """240 tiles of 80 patients: cellularity raises the strength, necrosis lowers it, the rest is noise."""
    folder = tmp_path_factory.mktemp("review")
    generator = np.random.default_rng(7)
    count = 240
    categories = pd.DataFrame({question: generator.integers(0, 4, count) for question in QUESTIONS})
    categories.loc[:9, "atypia"] = -1
    strength = categories["cellularity"] - categories["necrosis"] + generator.normal(size=count)
    row = {"centre": "IB", "slide_id": "s", "x_px": 0.0, "y_px": 0.0, "contribution": 0.0, "stratum": "between"}
    seen = [
        SeenTile(pd.Series(row | {"patient_id": f"p{i // 3}", "tile": i, "strength": strength[i]}),
                 np.full((4, 4, 3), 9, np.uint8), 112.0)
        for i in range(count)
    ]  # fmt: skip
    made = make_review(seen, repeats=80, checks=4, rng=generator)
    tiles = made.key[made.key["kind"] == "tile"]
    by_item = categories.loc[tiles["tile"].astype(int)].set_index(tiles["item_id"])
    for reader in READERS:
        fill_sheet(reader, made.key, by_item, path=folder / f"{reader.name}.csv", rng=generator)
    write_sheet(made, folder=folder / "review", note="Simulated")
    return read_answers(sorted(folder.glob("*.csv")), key=folder / "review" / "key.csv"), by_item


def test_the_agreement_found_is_what_the_known_error_implies(reviewed):
    filled, by_item = reviewed
    assert filled.problems.empty
    found = agreement_table(filled, **BOOTSTRAP, rng=np.random.default_rng(0))
    key = filled.key
    repeated = key.loc[key["kind"] == "repeat", "first_item_id"]
    found = with_implied(found, READERS, by_item, repeated=repeated)
    inside = (found["low"] <= found["implied"]) & (found["implied"] <= found["high"])
    assert inside.sum() >= 13  # of 15 at 95 %
    assert (found["kappa"] - found["implied"]).abs().max() < 0.1
    atypia = found[(found["question"] == "atypia") & (found["measure"] == "fleiss")].iloc[0]
    assert atypia["tiles"] == 230
    assert (found["high"] - found["low"]).between(0.01, 0.3).all()


def test_patterns_that_move_the_score_are_found_and_the_others_are_not(reviewed):
    filled, _ = reviewed
    found = association_table(filled, **BOOTSTRAP, rng=np.random.default_rng(0)).set_index("question")
    assert found.loc["cellularity", "low"] > 0.3
    assert found.loc["necrosis", "high"] < -0.3
    assert (found.loc[["cellularity", "necrosis"], "p"] < 0.05).all()
    assert (found.loc[["atypia", "anisokaryosis", "mitoses"], "p"] > 0.05).all()
    assert found.loc["atypia", ["tiles", "unanswered"]].tolist() == [230, 10]
    assert found["patients"].tolist()[0] == 80


def test_who_does_not_look_fails_the_checks(reviewed):
    filled, _ = reviewed
    assert check_pathologists(filled)["failed"].tolist() == [0, 0, 0]
    checks = filled.key[filled.key["kind"] == "check"]
    answers = filled.answers.copy()
    asked = checks.loc[checks["expected"] == "3", "item_id"].iloc[0]
    glass = checks.loc[checks["expected"] != "3", "item_id"].iloc[0]
    answers.loc[(answers["reader"] == "A") & (answers["item_id"] == asked), "answer"] = 2
    answers.loc[(answers["reader"] == "B") & (answers["item_id"] == glass), ["answer", "state"]] = (-1, "cannot judge")
    careless = replace(filled, answers=answers)
    found = check_pathologists(careless).set_index("reader")
    assert found["failed"].to_dict() == {"A": 1, "B": 0, "C": 0}
    assert found.loc["A", "failed_items"] == asked


def test_one_reader_agrees_with_nobody_but_himself(reviewed):
    filled, _ = reviewed
    alone = replace(filled, answers=filled.answers[filled.answers["reader"] == "A"])
    found = agreement_table(alone, **BOOTSTRAP, rng=np.random.default_rng(0)).set_index(["question", "measure"])
    assert np.isnan(found.loc[("mitoses", "fleiss"), "kappa"])
    assert found.loc[("mitoses", "within"), "kappa"] > 0.5
