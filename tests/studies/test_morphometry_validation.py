"""The validation itself: it reads outlines as they were drawn, counts the truth of a tile, and reports its failures."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from studies.morphometry_validation.annotated_fields import (
    PARTS,
    KnownField,
    drawn,
    likely_um_per_px,
    real_fields,
    real_folder,
    resampled,
)
from studies.morphometry_validation.run import judge_fields, judged, main, summary
from studies.morphometry_validation.segmentation_metrics import centres_um
from studies.morphometry_validation.simulated_tiles import KNOWN, agreement_with_truth, true_values, virtual_tiles
from virtual_cohort.rendering.layout import GLASS, MYXOID, NECROSIS, SEPTUM, TUMOUR
from virtual_cohort.rendering.regions import write_regions


def painted_field(number: int, *, side: int = 160, mpp: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A pink picture with `number` dark discs of 8 µm across in rows, and their labels."""
    y, x = np.mgrid[:side, :side] * mpp
    labels = np.zeros((side, side), np.uint16)
    for k in range(number):
        row, column = divmod(k, 5)
        labels[(x - 8 - 15 * column) ** 2 + (y - 8 - 15 * row) ** 2 <= 16] = k + 1
    noise = np.random.default_rng(number).normal(0, 3, (side, side, 3))
    picture = np.where(labels[..., None] > 0, (90, 60, 140), (225, 170, 205)) + noise
    return picture.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder laid out like the real pictures, with four painted fields."""
    folder = tmp_path / "shared" / "tiles" / "dsb2018_he"
    folder.mkdir(parents=True)
    for number, name in ((12, "a"), (25, "b"), (20, "c"), (6, "d")):
        picture, labels = painted_field(number)
        Image.fromarray(picture).save(folder / f"{name}.png")
        Image.fromarray(labels).save(folder / f"{name}_labels.png")
    monkeypatch.setenv("SARCNET_SHARED_DATA", str(tmp_path / "shared"))
    return tmp_path / "shared"


def well_known_binary(xy: list[tuple[float, float]], *, order: str = "<", kind: int = 3) -> bytes:
    ends = struct.pack(order + "II", 1, len(xy)) + b"".join(struct.pack(order + "dd", *point) for point in xy)
    return bytes([order == "<"]) + struct.pack(order + "I", kind) + ends


@pytest.mark.parametrize("order", ["<", ">"])
def test_polygons_are_drawn_where_they_lie(order):
    square = [(2, 1), (5, 1), (5, 3), (2, 3), (2, 1)]
    labels = drawn(pd.Series([well_known_binary(square, order=order)]), shape=(6, 8))
    assert labels.sum() == 12
    assert labels[1:4, 2:6].all()
    with pytest.raises(ValueError, match="Outline 1 is of kind 1"):
        drawn(pd.Series([well_known_binary(square, order=order, kind=1)]), shape=(6, 8))


def test_the_likely_scale_is_that_of_a_usual_nucleus():
    for mpp in (0.5, 0.25, 1 / 6):
        side = round(45**0.5 / mpp)
        labels = np.zeros((100, 100), int)
        labels[5 : 5 + side, 5 : 5 + side] = 1
        assert likely_um_per_px(labels) == mpp


def test_fields_alternate_between_the_parts_and_keep_their_nuclei_when_resampled(shared):
    fields = real_fields(real_folder())
    assert [field.part for field in fields] == [PARTS[0], PARTS[1]] * 2
    assert [len(np.unique(field.labels)) - 1 for field in fields] == [12, 25, 20, 6]
    small = resampled(fields[0], mpp=1.0)
    assert small.picture.shape == (80, 80, 3)
    assert len(np.unique(small.labels)) == 13


def test_painted_nuclei_are_found_and_a_blank_field_counts_as_a_failure():
    picture, labels = painted_field(20)
    row, _ = judged(KnownField("painted", "a", PARTS[1], picture, labels, 0.5))
    assert row["f1"] == 1
    assert row["panoptic_quality"] > 0.8
    assert row["count_error"] == 0
    assert abs(row["area_error"]) < 0.2
    blank = np.full_like(picture, 240)
    row, _ = judged(KnownField("painted", "b", PARTS[1], blank, labels, 0.5))
    assert (row["found"], row["f1"], row["panoptic_quality"], row["count_error"]) == (0, 0, 0, -1)
    assert np.isnan(row["area_error"])


def test_the_summary_is_the_mean_over_fields_with_an_interval_around_it():
    fields = judge_fields([KnownField("painted", str(k), PARTS[1], *painted_field(k), 0.5) for k in (5, 12, 20)])
    found = summary(fields, samples=200, level=0.95, generator=np.random.default_rng(0)).set_index("scale")
    own = fields[fields["scale"] == "own"]
    assert found.loc["own", "fields"] == 3
    assert found.loc["own", "nuclei"] == 37
    assert found.loc["own", "panoptic_quality"] == pytest.approx(own["panoptic_quality"].mean())
    assert (
        found.loc["own", "panoptic_quality_low"]
        <= found.loc["own", "panoptic_quality"]
        <= found.loc["own", "panoptic_quality_high"]
    )


def test_the_command_writes_report_tables_and_pictures(shared, tmp_path, capsys):
    to = tmp_path / "run"
    assert main(["--to", str(to), "--cohort", str(tmp_path / "none"), "--samples", "50"]) == 0
    report = (to / "report.md").read_text()
    assert "| Data Science Bowl | held out | own | 2 | 31 |" in report
    assert "holds no truth" in report
    assert len(pd.read_csv(to / "fields.csv")) == 8
    assert all((to / f"fields_{part}.png").stat().st_size > 10_000 for part in ("chosen_on", "held_out"))
    assert "Written to" in capsys.readouterr().out


def test_without_any_known_nuclei_the_command_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SARCNET_SHARED_DATA", str(tmp_path))
    with pytest.raises(SarcnetError, match=r"(?s)SARCNET_SHARED_DATA.*holds no truth"):
        main(["--to", str(tmp_path / "run"), "--cohort", str(tmp_path)])


def test_the_truth_of_a_tile_is_counted():
    region = np.full((28, 28), TUMOUR)
    region[:7], region[7:14], region[14:17], region[17:18] = NECROSIS, MYXOID, SEPTUM, GLASS
    nuclei = pd.DataFrame({"class": ["tumour"] * 9 + ["mitosis", "lymphocyte"], "area_um2": [60.0] * 9 + [120.0, 30.0]})
    found = true_values(nuclei, region)
    living_mm2 = 0.112**2 * (28 - 7 - 3 - 1) / 28
    assert found["cellularity_per_mm2"] == pytest.approx(10 / living_mm2)
    assert found["mitosis_like_per_mm2"] == pytest.approx(1 / living_mm2)
    assert found["nuclear_area_um2"] == pytest.approx(66)
    assert found["anisokaryosis_cv"] == pytest.approx(np.std([60] * 9 + [120], ddof=1) / 66)
    assert (found["necrosis_fraction"], found["stroma_fraction"]) == (pytest.approx(0.25), pytest.approx(3 / 28))
    region[:] = NECROSIS
    assert np.isnan(true_values(nuclei, region)["cellularity_per_mm2"])


def test_tiles_of_a_cohort_stand_beside_their_truth(write_slide, tmp_path):
    picture, labels = painted_field(20, side=448)
    empty = np.full((448, 448, 3), 243, np.uint8)
    truth = tmp_path / "truth" / "slides"
    truth.mkdir(parents=True)
    at = centres_um(labels.astype(np.int32), mpp=0.5)
    nuclei = pd.DataFrame({"x_um": at[:, 0], "y_um": at[:, 1], "area_um2": at[:, 2], "class": "tumour"})
    for slide_id, pixels, region in (("S1", picture, TUMOUR), ("S2", picture, TUMOUR), ("S3", empty, GLASS)):
        write_slide(f"CLB/slides/{slide_id}.tif", pixels, mpp=0.5)
        write_regions(truth / f"{slide_id}.regions.png", region=np.full((56, 56), region, np.uint8))
        nuclei.to_parquet(truth / f"{slide_id}.parquet")
    measured, by_class = virtual_tiles(tmp_path, tiles_per_slide=4, generator=np.random.default_rng(0))
    assert measured.groupby("slide_id").size().to_dict() == {"S1": 4, "S2": 4}
    assert measured.groupby("slide_id")["part"].first().tolist() == list(PARTS)
    assert set(measured["centre"]) == {"CLB"}
    busy = measured[measured["true_cellularity_per_mm2"] > 0].drop_duplicates("slide_id")
    assert np.allclose(busy["cellularity_per_mm2"], busy["true_cellularity_per_mm2"])
    assert np.allclose(busy["nuclear_area_um2"], busy["true_nuclear_area_um2"], rtol=0.15)
    assert by_class == [("tumour", 1.0, 20)]


def test_a_perfect_measure_agrees_and_a_doubled_one_errs_by_one():
    generator = np.random.default_rng(0)
    truth = {f"true_{name}": generator.gamma(2.0, size=40) for name in KNOWN}
    where = {
        "centre": np.repeat(["CLB", "IB"], 20),
        "slide_id": [f"S{k // 4}" for k in range(40)],
        "part": [PARTS[(k // 4) % 2] for k in range(40)],
    }
    values = {name: truth[f"true_{name}"] for name in KNOWN}
    values["nuclear_area_um2"] = 2 * values["nuclear_area_um2"]
    measured = pd.DataFrame({**where, **truth, **values})
    found = agreement_with_truth(measured, samples=50, level=0.9, generator=generator)
    assert len(found) == len(KNOWN) * 2 * 3
    assert np.allclose(found["rho"], 1)
    assert np.allclose(found["low"], 1)
    errors = found.groupby("measure")["error"].mean()
    assert errors["nuclear_area_um2"] == pytest.approx(1)
    assert errors["cellularity_per_mm2"] == pytest.approx(0)


def test_real_nuclei_are_found_as_the_documentation_says():
    folder = real_folder()
    fields = [item for item in real_fields(folder) if item.part == PARTS[1]] if folder else []
    if not fields:
        pytest.skip("no real pictures; name their folder in SARCNET_SHARED_DATA")
    rows = pd.DataFrame([judged(item)[0] for item in fields[::4]])
    bowl = rows[rows["source"] == "Data Science Bowl"]
    assert bowl["f1"].mean() > 0.6
    assert bowl["panoptic_quality"].mean() > 0.33
