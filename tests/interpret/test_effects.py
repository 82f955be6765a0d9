"""Effects by measures: the ends are chosen right, confounders taken out, and the words follow the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.interpret.patterns.effects import (
    CONFOUNDERS,
    NAMED,
    MeasuredEffects,
    end_tiles,
    measured_effects,
    verdicts,
    without,
)
from sarcnet.interpret.resampling import interval_of, mean_interval
from sarcnet.morphometry.measure import MEASURES

QUIET = {"samples": 300, "level": 0.95}


def measured_tiles(*, patients: int = 24, tiles: int = 8, seed: int = 0, **weights: float) -> pd.DataFrame:
    """Tiles whose contribution rises by `weights[pattern]` with a pattern; nuclear_area_um2 follows necrosis alone."""
    generator = np.random.default_rng(seed)
    rows = pd.DataFrame(generator.normal(size=(patients * tiles, len(MEASURES))), columns=list(MEASURES))
    rows["nuclear_area_um2"] = -rows["necrosis_fraction"] + 0.2 * rows["nuclear_area_um2"]
    rows.insert(0, "patient_id", np.repeat([f"p{i:02d}" for i in range(patients)], tiles))
    rows["slide_id"], rows["tile"] = rows["patient_id"] + "-S1", np.tile(range(tiles), patients)
    rows["contribution"] = generator.normal(size=len(rows)) + sum(rows[name] * w for name, w in weights.items())
    rows[list(MEASURES)] += rows["patient_id"].str[1:].astype(int).to_numpy()[:, None]  # patients differ, tiles matter
    return rows


def centres(rows: pd.DataFrame) -> pd.DataFrame:
    names = rows["patient_id"].unique()
    return pd.DataFrame({"patient_id": names, "centre": np.where(np.arange(len(names)) % 2, "CLB", "IB")})


def test_both_ends_of_each_patient_are_chosen():
    values = {"a": [5, 1, 4, 2, 3], "b": [1, 2], "c": [7], "d": [2, 9, 1]}
    tiles = pd.DataFrame(
        [(name, f"{name}-S1", k, v) for name, own in values.items() for k, v in enumerate(own)],
        columns=["patient_id", "slide_id", "tile", "contribution"],
    )
    chosen = end_tiles(tiles, per_end=2)
    assert chosen.groupby("patient_id")["contribution"].apply(sorted).to_dict() == {
        "a": [1, 2, 4, 5], "b": [1, 2], "d": [1, 9],
    }  # fmt: skip
    assert chosen.index.is_monotonic_increasing
    assert len(end_tiles(tiles.iloc[:0], per_end=2)) == 0


def test_what_goes_along_with_necrosis_is_taken_out_within_patients():
    rows = measured_tiles(necrosis_fraction=2.0)
    cleaned = without(rows, patterns=["nuclear_area_um2"])
    within = cleaned[["nuclear_area_um2", *CONFOUNDERS]] - cleaned.groupby("patient_id")[
        ["nuclear_area_um2", *CONFOUNDERS]
    ].transform("mean")
    assert np.abs(within.corr().loc["nuclear_area_um2", list(CONFOUNDERS)]).max() < 1e-9
    assert cleaned["cellularity_per_mm2"].equals(rows["cellularity_per_mm2"])
    holes = rows.assign(nuclear_area_um2=rows["nuclear_area_um2"].where(rows["tile"] > 0))
    assert without(holes, patterns=["nuclear_area_um2"])["nuclear_area_um2"].isna().sum() == 24


def test_an_effect_of_necrosis_alone_does_not_survive_adjustment_and_a_true_one_does():
    rows = measured_tiles(necrosis_fraction=2.0, cellularity_per_mm2=1.0)
    found = measured_effects(rows, centres(rows), **QUIET, rng=np.random.default_rng(1))
    plain, adjusted = found.plain.set_index("pattern"), found.adjusted.set_index("pattern")
    assert plain.loc["nuclear_area_um2", "high"] < 0
    assert adjusted.loc["nuclear_area_um2", "low"] < 0 < adjusted.loc["nuclear_area_um2", "high"]
    assert plain.loc["cellularity_per_mm2", "low"] > 0
    assert adjusted.loc["cellularity_per_mm2", "low"] > 0
    assert adjusted.loc[list(CONFOUNDERS), "effect"].isna().all()
    assert found.by_centre.groupby("centre")["n"].max().to_dict() == {"CLB": 12, "IB": 12}


def test_tiles_that_could_not_be_measured_are_counted_out():
    rows = measured_tiles(cellularity_per_mm2=1.0)
    rows.loc[rows["patient_id"] < "p04", "cellularity_per_mm2"] = np.nan
    found = measured_effects(rows, centres(rows), **QUIET, rng=np.random.default_rng(1)).plain.set_index("pattern")
    assert found.loc["cellularity_per_mm2", "n"] == 20
    assert found.loc["eccentricity", "n"] == 24


def table(**rows: tuple[float, float, float, float, int]) -> pd.DataFrame:
    columns = ["effect", "low", "high", "p", "n"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("pattern").reset_index()


@pytest.mark.parametrize(
    ("plain", "adjusted", "shuffled", "answer"),
    [
        ((0.5, 0.3, 0.7, 0.001, 40), (0.4, 0.2, 0.6, 0.01, 40), 0.1, "goes with the score"),
        (
            (0.5, 0.3, 0.7, 0.001, 40),
            (0.0, -0.2, 0.2, 0.9, 40),
            0.1,
            "goes with the score, not shown beyond necrosis and stroma",
        ),
        (
            (0.5, 0.3, 0.7, 0.001, 40),
            (-0.4, -0.6, -0.2, 0.01, 40),
            0.1,
            "goes with the score, not shown beyond necrosis and stroma",
        ),
        ((0.5, 0.3, 0.7, 0.001, 40), (0.4, 0.2, 0.6, 0.4, 40), -0.6, "not shown"),
        ((0.1, -0.1, 0.3, 0.4, 40), (0.4, 0.2, 0.6, 0.01, 40), 0.0, "shown only with necrosis and stroma taken out"),
        ((0.1, -0.1, 0.3, 0.4, 40), (0.1, -0.1, 0.3, 0.4, 40), 0.0, "not shown"),
        ((0.5, 0.3, 0.7, 0.001, 9), (0.4, 0.2, 0.6, 0.01, 9), 0.1, "cannot be judged"),
        ((np.nan, np.nan, np.nan, np.nan, 0), (np.nan, np.nan, np.nan, np.nan, 0), 0.1, "cannot be judged"),
    ],
)
def test_the_answer_follows_the_numbers(plain, adjusted, shuffled, answer):
    found = MeasuredEffects(
        table(**dict.fromkeys(NAMED.values(), plain)), table(**dict.fromkeys(NAMED.values(), adjusted)), pd.DataFrame()
    )
    networks = pd.DataFrame({name: [shuffled, 0.0] for name in NAMED.values()})
    said = verdicts(found, shuffled=networks)
    assert [verdict.pattern for verdict in said] == list(NAMED)
    assert {verdict.answer for verdict in said} == {answer}
    assert all(answer in verdict.sentence for verdict in said)
    assert {verdict.effect for verdict in said} == {plain[0] if "goes with" in answer else None}


def test_the_truth_stands_in_the_sentence_where_it_is_known():
    numbers = table(**dict.fromkeys(NAMED.values(), (0.5, 0.3, 0.7, 0.0001, 40)))
    true = table(nuclear_area_um2=(0.9, 0.8, 1.0, 0.001, 40))
    networks = pd.DataFrame(dict.fromkeys(NAMED.values(), [0.0] * 20))
    known = pd.DataFrame(
        {"pattern": ["nuclear_area_um2", "anisokaryosis_cv"], "r2": [0.6, np.nan], "low": 0.5, "high": 0.7}
    )
    effects = MeasuredEffects(numbers, numbers, pd.DataFrame())
    said = verdicts(effects, shuffled=networks, true=true, known=known)
    assert "by the truth of the same tiles +0.90 (+0.80 to +1.00). A probe" in said[0].sentence
    assert said[0].sentence.endswith("with R² 0.60 (0.50 to 0.70).")
    assert "probe" not in said[1].sentence + said[2].sentence
    assert "truth" not in said[1].sentence
    assert "more of it by +0.50 (+0.30 to +0.70) standard deviations in 40 patients, P < 0.001" in said[1].sentence


def test_means_are_resampled_alike_everywhere_and_one_patient_draws_nothing():
    generator = np.random.default_rng(4)
    before = generator.bit_generator.state
    assert np.isnan(mean_interval(np.array([0.5]), samples=50, level=0.95, rng=generator)).all()
    assert generator.bit_generator.state == before
    low, high, p = mean_interval(np.linspace(0.1, 1.0, 30), samples=400, level=0.95, rng=generator)
    assert 0.1 < low < 0.55 < high < 1.0
    assert p == pytest.approx(2 / 401)
    wide = interval_of(np.linspace(-1, 1, 400), level=0.5)
    assert (wide.low, wide.high, wide.p) == pytest.approx((-0.5, 0.5, 1.0), abs=0.01)
