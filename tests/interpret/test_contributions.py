"""Parts that add up to the evaluated prediction, and tiles that land where they belong."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.multiple_testing import holm
from sarcnet.interpret.attribution.contributions import by_variable, explain
from sarcnet.interpret.attribution.tiles import extreme_tiles
from sarcnet.interpret.export.heatmap import ends_of_image_score, main_slide, place_values
from sarcnet.interpret.patterns import effects as on_tiles
from sarcnet.interpret.patterns.effects import effects, effects_by_centre, shuffled_contributions
from sarcnet.model.crossval import make_folds
from sarcnet.model.patients import assemble_patients
from sarcnet.model.protocol import Protocol
from sarcnet.model.training.experiment import Variant, cross_validate
from sarcnet.morphometry.geometry import TileGeometry
from studies.bags import make_bags
from virtual_cohort.experiments.ground_truth import (
    PATTERNS,
    readable,
    score_against_truth,
    tile_pathology,
    verdicts,
)
from virtual_cohort.rendering.layout import NECROSIS, TUMOUR
from virtual_cohort.rendering.regions import write_regions

gaps_by_patient = partial(on_tiles.gaps_by_patient, patterns=tuple(PATTERNS))
VARIABLES = ("age_years", "size_mm", "histotype")
EDGES = (12.0, 24.0, 60.0)


@pytest.fixture(scope="module")
def trained():
    """40 patients whose tiles carry a latent, cross-validated in 2 folds x 2 repeats: (result, patients, folds)."""
    generator = np.random.default_rng(0)
    n, dim = 40, 8
    latent = generator.normal(size=n)
    event_at, lost = generator.exponential(50 * np.exp(-latent)), generator.uniform(40, 120, n)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in range(n)],
            "centre": np.where(np.arange(n) < 18, "CLB", "IB"),
            "age_years": generator.normal(60, 10, n),
            "size_mm": np.where(np.arange(n) == 4, np.nan, generator.lognormal(4.3, 0.4, n)),
            "histotype": generator.choice(["UPS", "leiomyosarcoma"], n),
            "mfs_months": np.minimum(event_at, lost),
            "mfs_event": (event_at <= lost).astype(int),
        }
    )
    sizes = generator.integers(2, 6, n)
    sizes[0] = 0
    bags = make_bags(
        {p: latent[i] + generator.normal(size=(sizes[i], dim)) for i, p in enumerate(table["patient_id"])},
        feature_dim=dim,
    )
    protocol = Protocol(
        seed=3, folds=2, repeats=2, centres=("CLB", "IB"), clinical_variables=VARIABLES, hazard_edges_months=EDGES,
        horizon_months=60.0, encoder="synthetic", feature_dim=dim, embedding_dim=4, epochs=3, batch_patients=16,
        learning_rate=0.01, weight_decay=0.1,
    )  # fmt: skip
    patients = assemble_patients(table, bags=bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES)
    folds = make_folds(table, folds=2, repeats=2, seed=3)
    variant = Variant("sarcnet_pooled")
    return cross_validate(protocol, patients=patients, folds=folds, variant=variant, progress=False), patients, folds


def test_parts_sum_to_the_score_and_give_the_evaluated_risk(trained):
    result, patients, folds = trained
    found = explain(result.trained, patients, folds=folds, oof=result.oof)
    assert found.score_gap < 1e-5
    assert found.risk_gap < 1e-6
    sums = found.tiles.groupby("patient_id")["contribution"].sum().reindex(found.patients["patient_id"]).fillna(0)
    clinic = found.clinical.groupby("patient_id")["contribution"].sum().reindex(found.patients["patient_id"])
    assert np.allclose(sums.to_numpy() + clinic.to_numpy(), found.patients["score"], atol=1e-5)
    evaluated = result.oof.groupby("patient_id")["risk"].mean().reindex(found.patients["patient_id"])
    assert np.allclose(evaluated, found.patients["risk"], atol=1e-6)


def test_a_patient_without_slides_is_explained_by_the_clinic_alone(trained):
    result, patients, folds = trained
    found = explain(result.trained, patients, folds=folds, oof=result.oof).patients.set_index("patient_id")
    assert found.loc["P00", "n_tiles"] == 0
    assert found.loc["P00", "image"] == 0
    assert found.loc["P00", "score"] == pytest.approx(found.loc["P00", "clinical"])


def test_another_model_s_risks_are_refused_with_the_patient_named(trained):
    result, patients, folds = trained
    wrong = result.oof.assign(risk=result.oof["risk"] * 0.9)
    with pytest.raises(SarcnetError, match=r"(?s)would not explain the risks.*Patient P\d\d, repeat 0"):
        explain(result.trained, patients, folds=folds, oof=wrong)
    with pytest.raises(SarcnetError, match="is missing"):
        explain(result.trained, patients, folds=folds, oof=result.oof[result.oof["patient_id"] != "P07"])


def test_columns_of_a_variable_are_added():
    columns = ["size_mm", "size_mm_missing", "histotype=UPS", "histotype=leiomyosarcoma"]
    frame = pd.DataFrame({"patient_id": ["a"] * 4, "column": columns, "contribution": [1.0, 2.0, 3.0, 4.0]})
    assert by_variable(frame).set_index("variable")["contribution"].to_dict() == {"size_mm": 3.0, "histotype": 7.0}


def test_a_hand_made_grid_lands_on_its_pixels():
    tiles = pd.DataFrame({"x_px": [0, 20, 40], "y_px": [0, 20, 20], "contribution": [1.0, 2.0, 3.0]})
    drawn = place_values(tiles, shape=(5, 6), scale=10.0, size_px=20.0)
    expected = np.full((5, 6), np.nan)
    expected[0:2, 0:2], expected[2:4, 2:4], expected[2:4, 4:6] = 1, 2, 3
    assert np.array_equal(drawn, expected, equal_nan=True)


def place_slowly(tiles, *, shape, scale, size_px):
    """Tile by tile, as one would paint them."""
    total, count = np.zeros(shape), np.zeros(shape)
    for x, y, value in tiles[["x_px", "y_px", "contribution"]].to_numpy(float):
        left, right, top, bottom = (max(0, round(v / scale)) for v in (x, x + size_px, y, y + size_px))
        total[top:bottom, left:right] += value
        count[top:bottom, left:right] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@pytest.mark.parametrize("scale", [0.7, 3.3, 10.0, 90.0])
def test_all_tiles_at_once_are_placed_as_one_by_one_with_overlaps_and_edges(scale):
    generator = np.random.default_rng(4)
    tiles = pd.DataFrame(generator.uniform(-30, 420, (200, 2)), columns=["x_px", "y_px"])
    tiles["contribution"] = generator.normal(size=200)
    options = {"shape": (int(300 / scale) + 1, int(400 / scale) + 1), "scale": scale, "size_px": 37.3}
    assert np.array_equal(place_values(tiles, **options), place_slowly(tiles, **options), equal_nan=True)
    assert np.isnan(place_values(tiles.iloc[:0], **options)).all()


def test_neighbouring_tiles_leave_no_gap_at_any_scale():
    side = 223.02
    tiles = pd.DataFrame(
        [(x * side, y * side, 1.0) for x in range(5) for y in range(4)], columns=["x_px", "y_px", "contribution"]
    )
    for scale in (3.7, 8.13, 15.9, 17.4):
        shape = (int(4 * side / scale), int(5 * side / scale))
        assert np.isfinite(place_values(tiles, shape=shape, scale=scale, size_px=side)).all()


def test_extreme_tiles_are_spread_over_patients_and_ties_are_settled():
    rows = [("a", 0, 5.0), ("a", 1, 4.0), ("b", 0, 3.0), ("c", 1, 3.0), ("c", 0, -9.0)]
    tiles = pd.DataFrame(rows, columns=["patient_id", "tile", "strength"]).assign(slide_id="s")
    top = extreme_tiles(tiles, count=3, per_patient_max=1, highest=True)
    assert list(zip(top["patient_id"], top["tile"], strict=True)) == [("a", 0), ("b", 0), ("c", 1)]
    assert extreme_tiles(tiles, count=1, per_patient_max=1, highest=False)["strength"].tolist() == [-9.0]
    shuffled = tiles.sample(frac=1, random_state=1)
    assert extreme_tiles(shuffled, count=3, per_patient_max=1, highest=True).equals(top)


def test_each_hospital_shows_both_ends_and_no_patient_twice():
    patients = pd.DataFrame(
        {"patient_id": list("abcdef"), "centre": ["CLB"] * 4 + ["IB"] * 2, "n_tiles": [3, 3, 3, 0, 3, 3],
         "image": [0.1, 0.9, -0.5, 7.0, 0.0, 0.2]}
    )  # fmt: skip
    shown = ends_of_image_score(patients, count=1)
    assert shown[["patient_id", "end"]].to_numpy().tolist() == [
        ["b", "high"],
        ["c", "low"],
        ["f", "high"],
        ["e", "low"],
    ]
    assert main_slide(pd.DataFrame({"slide_id": ["x", "y", "y"]})) == "y"


def nuclei_file(folder, rows):
    path = folder / "s.parquet"
    pd.DataFrame(rows, columns=["x_um", "y_um", "area_um2", "class"]).to_parquet(path)
    return {"s": path}


def test_true_patterns_are_counted_as_by_hand(tmp_path):
    rows = [
        (5, 5, 40, "tumour"),
        (15, 5, 60, "tumour"),
        (5, 15, 80, "mitosis"),
        (6, 6, 20, "lymphocyte"),
        (120, 5, 50, "tumour"),
    ]
    geometry = {"s": TileGeometry(0.5, 100.0, 200)}
    tiles = pd.DataFrame({"slide_id": ["s"] * 4, "x_px": [0, 200, 400, 600], "y_px": [0, 0, 0, 0]})
    region = np.full((25, 100), TUMOUR, np.uint8)
    region[:, 25:35] = NECROSIS  # two fifths of the second tile
    region[5:, 75:] = NECROSIS  # four fifths of the fourth
    write_regions(tmp_path / "s.regions.png", region=region)
    found = tile_pathology(
        tiles,
        nuclei=nuclei_file(tmp_path, rows),
        regions={"s": tmp_path / "s.regions.png"},
        geometry=geometry,
        nuclei_min=2,
    )
    assert found["nuclei"].tolist() == [3, 1, 0, 0]
    assert found["necrosis_fraction"].tolist() == [0, 0.4, 0, 0.8]
    assert found["cellularity_per_mm2"].tolist()[:3] == pytest.approx([300, 100 / 0.6, 0])
    assert np.isnan(found["cellularity_per_mm2"].iloc[3])
    assert found["nuclear_area_um2"].tolist()[0] == 60
    assert found["anisokaryosis_cv"].tolist()[0] == pytest.approx(20 / 60)
    assert found[["nuclear_area_um2", "anisokaryosis_cv"]].iloc[1:].isna().all().all()


def simulated_tiles(*, effect: float, patients: int = 30) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    rows = []
    for patient in range(patients):
        contribution = generator.normal(size=12)
        level = generator.normal(scale=3)  # patients differ far more than tiles: must not matter
        density = level + effect * contribution + generator.normal(size=12)
        for tile in range(12):
            rows.append(
                (f"p{patient}", f"s{patient}", tile, contribution[tile], density[tile], generator.normal(50), 0.3, 0.0)
            )
    columns = [
        "patient_id",
        "slide_id",
        "tile",
        "contribution",
        "cellularity_per_mm2",
        "nuclear_area_um2",
        "anisokaryosis_cv",
        "necrosis_fraction",
    ]
    return pd.DataFrame(rows, columns=columns)


def test_a_pattern_that_moves_the_score_is_found_and_a_constant_one_is_not():
    generator = np.random.default_rng(0)
    gaps = gaps_by_patient(simulated_tiles(effect=1.0), share=0.33)
    found = effects(gaps, samples=500, level=0.95, rng=generator).set_index("pattern")
    assert found.loc["cellularity_per_mm2", "low"] > 0
    assert abs(found.loc["nuclear_area_um2", "effect"]) < 0.4
    none = effects(gaps_by_patient(simulated_tiles(effect=0.0), share=0.33), samples=500, level=0.95, rng=generator)
    assert abs(none.set_index("pattern").loc["cellularity_per_mm2", "effect"]) < 0.3


def test_p_values_are_raised_by_holms_rule():
    """The worked example: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02; what was not tested does not count."""
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_no_effect_has_no_small_p_and_each_hospital_is_judged_by_its_own_patients():
    tiles = simulated_tiles(effect=1.0)
    tiles.loc[tiles["patient_id"].isin([f"p{i}" for i in range(15)]), "contribution"] *= -1  # the first half: reversed
    gaps = gaps_by_patient(tiles, share=0.33)
    patients = pd.DataFrame({"patient_id": gaps.index})
    patients["centre"] = np.where(patients["patient_id"].isin([f"p{i}" for i in range(15)]), "CLB", "IB")
    settings = {"samples": 400, "level": 0.95, "rng": np.random.default_rng(3)}
    found = effects_by_centre(gaps, patients, **settings).set_index(["centre", "pattern"])
    assert found.loc[("CLB", "cellularity_per_mm2"), "high"] < 0 < found.loc[("IB", "cellularity_per_mm2"), "low"]
    assert found.loc[("IB", "cellularity_per_mm2"), "p"] < 0.02
    assert found.loc[("IB", "nuclear_area_um2"), "p"] > 0.05
    assert found["n"].groupby("centre").max().tolist() == [15, 15]
    assert effects(gaps, **settings).set_index("pattern").loc["cellularity_per_mm2", "p"] > 0.05


def test_the_patient_is_the_unit():
    """Every patient doubled is twice the patients; every tile doubled is not."""
    tiles = simulated_tiles(effect=0.5, patients=12)
    doubled = pd.concat([tiles, tiles.assign(tile=tiles["tile"] + 100)], ignore_index=True)
    width = {}
    for name, frame in (("once", tiles), ("tiles twice", doubled)):
        gaps = gaps_by_patient(frame, share=1 / 3)
        row = effects(gaps, samples=2000, level=0.95, rng=np.random.default_rng(2)).iloc[0]
        width[name] = row["high"] - row["low"]
        assert row["n"] == 12
    assert width["tiles twice"] == pytest.approx(width["once"], rel=0.05)


def test_patients_with_too_few_tiles_are_left_out_and_said():
    tiles = simulated_tiles(effect=1.0, patients=3).groupby("patient_id").head(4)
    found = effects(gaps_by_patient(tiles, share=0.33), samples=100, level=0.95, rng=np.random.default_rng(0))
    assert found["n"].tolist() == [0, 0, 0, 0]
    said = verdicts(found, pd.DataFrame({name: [0.1] for name in found["pattern"]}))
    assert all("**cannot be judged**, 0 patients" in sentence for sentence in said)


def test_verdicts_follow_the_intervals():
    found = pd.DataFrame(
        {"pattern": ["cellularity_per_mm2", "nuclear_area_um2"], "effect": [0.8, 0.1], "low": [0.5, -0.2],
         "high": [1.1, 0.4], "p": [0.0004, 0.6], "n": [30, 30]}
    )  # fmt: skip
    said = verdicts(found, pd.DataFrame({"cellularity_per_mm2": [0.1, -0.9], "nuclear_area_um2": [0.0, 0.0]}))
    assert "show more of it" in said[0]
    assert "P < 0.001 for 2 patterns" in said[0]
    assert "50% of 2 networks with shuffled weights reach that" in said[0]
    assert "**says nothing of what was learnt**" in said[0]
    assert "no reaction is shown" in said[1]


@pytest.mark.parametrize(
    ("p", "random", "said", "not_said"),
    [
        (0.0004, 0.1, "a reaction", "no reaction"),
        (0.0004, -0.9, "says nothing of what was learnt", "a reaction"),
        (0.2, 0.1, "no reaction is shown", "a reaction"),
    ],
)
def test_a_reaction_needs_a_corrected_p_and_more_than_shuffled_networks_show(p, random, said, not_said):
    found = pd.DataFrame(
        {"pattern": ["necrosis_fraction"], "effect": [0.8], "low": [0.5], "high": [1.1], "p": [p], "n": [30]}
    )
    networks = pd.DataFrame({"necrosis_fraction": [random] * 20})
    assert "**cannot be judged**, 9 patients" in verdicts(found.assign(n=9), networks)[0]
    (sentence,) = verdicts(found, networks)
    assert said in sentence
    assert not_said not in sentence


def test_tiles_that_push_the_other_way_are_not_shown_at_an_end():
    tiles = pd.DataFrame(
        {"patient_id": list("abcd"), "slide_id": "s", "tile": range(4), "strength": [2.0, 1.0, -1.0, 0.0]}
    )
    assert extreme_tiles(tiles, count=4, per_patient_max=1, highest=True)["strength"].tolist() == [2.0, 1.0]
    assert extreme_tiles(tiles, count=4, per_patient_max=1, highest=False)["strength"].tolist() == [-1.0]


def test_shuffled_networks_are_drawn_from_the_generator_and_leave_the_trained_one_alone(trained):
    result, patients, folds = trained
    found = explain(result.trained, patients, folds=folds, oof=result.oof)
    generator = np.random.default_rng(0)
    tiles = found.tiles.assign(
        cellularity_per_mm2=generator.normal(size=len(found.tiles)),
        nuclear_area_um2=1.0,
        anisokaryosis_cv=0.3,
        necrosis_fraction=0.0,
    )
    before = {name: array.copy() for name, array in result.trained.network.parameter_arrays().items()}
    shuffled = [
        shuffled_contributions(result.trained, patients, folds=folds, networks=2, rng=np.random.default_rng(5))
        for _ in range(2)
    ]
    one, two = (on_tiles.random_effects(shown, tiles, share=0.5, patterns=tuple(PATTERNS)) for shown in shuffled)
    patterns = ["cellularity_per_mm2"]
    alone = on_tiles.random_effects(shuffled[0], tiles[["slide_id", "tile", *patterns]], share=0.5, patterns=patterns)
    assert alone["cellularity_per_mm2"].equals(one["cellularity_per_mm2"])
    assert one.equals(two)
    assert one["cellularity_per_mm2"].nunique() == 2
    assert all(np.array_equal(before[name], array) for name, array in result.trained.network.parameter_arrays().items())


def test_image_score_follows_a_latent_that_made_it():
    generator = np.random.default_rng(0)
    truth = pd.DataFrame(
        {"patient_id": [f"p{i}" for i in range(60)], "cellularity_per_mm2": generator.normal(size=60),
         "nuclear_area_um2": generator.normal(size=60), "anisokaryosis_cv": generator.normal(size=60),
         "necrosis_fraction": generator.random(60)}
    )  # fmt: skip
    patients = truth[["patient_id"]].assign(image=np.exp(truth["cellularity_per_mm2"]), n_tiles=5)
    found = score_against_truth(patients, truth, samples=300, level=0.95, rng=generator).set_index("pattern")
    assert found.loc["cellularity_per_mm2", "rho"] == pytest.approx(1.0)
    assert abs(found.loc["nuclear_area_um2", "rho"]) < 0.4


def test_a_table_of_effects_is_shown_in_words():
    effects = pd.DataFrame({"centre": ["CLB"], "pattern": ["nuclear_area_um2"], "effect": [0.12345]})
    (row,) = readable(effects).itertuples(name=None)
    assert row == (("CLB", "atypia (mean nuclear area, µm²)"), 0.123)
    assert readable(effects.drop(columns="centre")).index.name == "pattern"
