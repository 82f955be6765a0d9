"""A slide that cannot be used is named, with cause and advice, and the others go on."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.faults import SarcnetError
from sarcnet.slides.opening import SlideFault, open_slide
from sarcnet.slides.study import report_table, tile_cohort, tile_table
from sarcnet.slides.tiling import TileRules, tile_slide

RULES = TileRules(
    tile_um=112.0,
    tile_px=224,
    thumbnail_um_per_px=8.0,
    tissue_share_min=0.5,
    pen_share_max=0.2,
    fold_share_max=0.5,
    blank_share_max=0.8,
    sharpness_min=5.0,
    unreadable_share_max=0.2,
)


def fault_of(path, *, mpp: float = math.nan, rules: TileRules = RULES) -> SlideFault:
    with pytest.raises(SlideFault) as caught:
        tile_slide(path, rules=rules, mpp_override=mpp)
    assert caught.value.cause.endswith(".")
    assert caught.value.advice.endswith(".")
    assert path.name in caught.value.cause
    return caught.value


def test_not_there(tmp_path):
    assert "is not there" in fault_of(tmp_path / "missing.svs").cause


def test_zero_bytes(tmp_path):
    (tmp_path / "empty.svs").touch()
    assert "0 bytes" in fault_of(tmp_path / "empty.svs").cause


def test_not_a_slide(tmp_path):
    (tmp_path / "letter.svs").write_bytes(b"Dear colleague")
    fault = fault_of(tmp_path / "letter.svs")
    assert "44 65 61 72" in fault.cause
    assert "Export" in fault.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_right_to_read(tmp_path):
    (tmp_path / "locked.svs").write_bytes(b"x")
    (tmp_path / "locked.svs").chmod(0)
    assert "may not be read" in fault_of(tmp_path / "locked.svs").cause


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_truncated(write_slide, stained, share):
    path = write_slide("cut.svs", stained(600, 600, tissue=(50, 50, 550, 550)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    fault = fault_of(path)
    assert "truncated" in fault.advice


def test_no_resolution_is_refused_with_the_cure(write_slide, stained):
    path = write_slide("nompp.svs", stained(600, 600, tissue=(50, 50, 550, 550)), mpp=None)
    fault = fault_of(path)
    assert "micrometres a pixel" in fault.cause
    assert "mpp column of slides.csv" in fault.advice
    assert tile_slide(path, rules=RULES, mpp_override=0.5).report["mpp_source"] == "slides.csv"


def test_screen_resolution_is_refused(write_slide, stained):
    path = write_slide("screen.tif", stained(600, 600, tissue=None), mpp=25400 / 72, aperio=False)
    assert "no microscope slide" in fault_of(path).cause


def test_override_wins_and_source_is_recorded(write_slide, stained):
    pixels = stained(600, 600, tissue=None)
    path = write_slide("a.svs", pixels, mpp=0.25)
    plain = write_slide("a.tif", pixels, mpp=0.25, aperio=False)
    assert open_slide(path)[1].mpp_source == "scanner"
    assert open_slide(plain)[1].mpp_source == "TIFF resolution"
    assert open_slide(path, mpp_override=0.26)[1].mpp == 0.26


def test_pixels_that_are_not_square_are_refused(tmp_path, stained):
    import pyvips

    image = pyvips.Image.new_from_array(stained(600, 600, tissue=None)).copy(interpretation="srgb")
    image.tiffsave(str(tmp_path / "oblong.tif"), tile=True, compression="deflate", xres=2000, yres=2200)
    assert "not square" in fault_of(tmp_path / "oblong.tif").cause


def test_blank_slide_has_no_tissue(write_slide, stained):
    rng = np.random.default_rng(3)
    dusty = np.clip(stained(800, 800, tissue=None) + rng.normal(0, 2, (800, 800, 1)), 0, 255).astype(np.uint8)
    assert "No tissue" in fault_of(write_slide("blank.svs", dusty)).cause


def test_slide_smaller_than_a_tile(write_slide, stained):
    assert "smaller than one tile" in fault_of(write_slide("s.svs", stained(200, 200, tissue=(0, 0, 200, 200)))).cause


def cut_tile(path, *, share: float) -> None:
    """Damage the compressed data of one of the file's first tiles, as a bad sector would."""
    data = bytearray(path.read_bytes())
    at = int(share * len(data))
    data[at : at + 200] = b"\xff" * 200
    path.write_bytes(bytes(data))


def test_one_bad_tile_is_dropped_and_counted_never_painted_white(write_slide, stained):
    path = write_slide("spot.svs", stained(1800, 1800, tissue=(0, 0, 1800, 1800)), pyramid=False)
    whole = tile_slide(path, rules=RULES)
    cut_tile(path, share=0.5)
    damaged = tile_slide(path, rules=RULES)
    lost = damaged.report["n_rejected_unreadable"]
    assert 1 <= lost <= 4  # a decoded block of 128 px touches at most four tiles
    assert damaged.report["n_kept"] == whole.report["n_kept"] - lost
    same = damaged.tiles.merge(whole.tiles, on=["tile", "x_px", "y_px", "sharpness"])
    assert len(same) == len(damaged.tiles)  # what could be read is what it was


def test_too_many_bad_tiles_fail_the_slide(write_slide, stained):
    path = write_slide("spots.svs", stained(1200, 1200, tissue=(0, 0, 1200, 1200)), pyramid=False)
    for share in (0.2, 0.5, 0.8):
        cut_tile(path, share=share)
    assert "cannot be decoded" in fault_of(path, rules=replace(RULES, unreadable_share_max=0.0)).cause


def test_the_rest_goes_on(write_slide, stained, tmp_path):
    good = write_slide("good.svs", stained(900, 900, tissue=(100, 100, 800, 800)))
    (tmp_path / "empty.svs").touch()
    slides = pd.DataFrame(
        {
            "slide_id": ["S1", "S2", "S3"],
            "patient_id": ["P1", "P2", "P3"],
            "centre": "CLB",
            "mpp_override": math.nan,
        }
    )
    files = {"S1": tmp_path / "empty.svs", "S2": good, "S3": tmp_path / "missing.svs"}
    results = list(tile_cohort(slides, files=files, rules=RULES, work=tmp_path / "w", pictures=tmp_path / "p", jobs=0))
    report = report_table(results, slides)
    assert list(report["status"]) == ["failed", "ok", "failed"]
    assert report["n_kept"].tolist() == [0, 12, 0]  # 16 less the four corners
    assert report.loc[report["status"] == "failed", ["cause", "advice"]].map(len).to_numpy().min() > 10
    assert set(tile_table(results)["slide_id"]) == {"S2"}
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["S2.png"]


def test_no_good_slide_at_all_is_a_sentence(tmp_path):
    slides = pd.DataFrame({"slide_id": ["S1"], "patient_id": ["P1"], "centre": ["IB"], "mpp_override": [math.nan]})
    results = list(
        tile_cohort(
            slides,
            files={"S1": tmp_path / "no.svs"},
            rules=RULES,
            work=tmp_path / "w",
            pictures=tmp_path / "p",
            jobs=0,
        )
    )
    with pytest.raises(SarcnetError, match=r"no\.svs is not there"):
        tile_table(results)
