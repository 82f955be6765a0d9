"""A slide that cannot be used is named, with cause and advice, and the others go on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.schema import KNOWN_FAILURES
from sarcnet.compendium import excluded
from sarcnet.compendium.errors import SarcnetError
from sarcnet.slides.cohort_tiling import tile_table
from sarcnet.slides.reader.opening import SlideFault, open_slide
from sarcnet.slides.report import failures
from sarcnet.slides.tiling import TileRules, tile_slide


@pytest.fixture
def fault_of(fine_rules):
    """fault_of(path, mpp=…, rules=…) -> the fault of a slide that cannot be used."""

    def fault(path, *, mpp: float = math.nan, rules: TileRules = fine_rules) -> SlideFault:
        with pytest.raises(SlideFault) as caught:
            tile_slide(path, rules=rules, mpp_override=mpp)
        assert caught.value.cause.endswith(".")
        assert caught.value.advice.endswith(".")
        assert path.name in caught.value.cause
        return caught.value

    return fault


def test_not_there(fault_of, tmp_path):
    assert "is not there" in fault_of(tmp_path / "missing.svs").cause


def test_zero_bytes(fault_of, tmp_path):
    (tmp_path / "empty.svs").touch()
    assert "0 bytes" in fault_of(tmp_path / "empty.svs").cause


def test_not_a_slide(fault_of, tmp_path):
    (tmp_path / "letter.svs").write_bytes(b"Dear colleague")
    fault = fault_of(tmp_path / "letter.svs")
    assert "44 65 61 72" in fault.cause
    assert "Export" in fault.advice


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_truncated(fault_of, write_slide, stained, share):
    path = write_slide("cut.svs", stained(600, 600, tissue=(50, 50, 550, 550)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    fault = fault_of(path)
    assert "truncated" in fault.advice


def test_no_resolution_is_refused_with_the_cure(fault_of, fine_rules, write_slide, stained):
    path = write_slide("nompp.svs", stained(600, 600, tissue=(50, 50, 550, 550)), mpp=None)
    fault = fault_of(path)
    assert "micrometres a pixel" in fault.cause
    assert "mpp column of slides.csv" in fault.advice
    assert tile_slide(path, rules=fine_rules, mpp_override=0.5).report["mpp_source"] == "slides.csv"


def test_screen_resolution_is_refused(fault_of, write_slide, stained):
    path = write_slide("screen.tif", stained(600, 600, tissue=None), mpp=25400 / 72, aperio=False)
    assert "no microscope slide" in fault_of(path).cause


def test_override_wins_and_source_is_recorded(write_slide, stained):
    pixels = stained(600, 600, tissue=None)
    path = write_slide("a.svs", pixels, mpp=0.25)
    plain = write_slide("a.tif", pixels, mpp=0.25, aperio=False)
    assert open_slide(path)[1].mpp_source == "scanner"
    assert open_slide(plain)[1].mpp_source == "TIFF resolution"
    assert open_slide(path, mpp_override=0.26)[1].mpp == 0.26


def test_pixels_that_are_not_square_are_refused(fault_of, tmp_path, stained):
    import pyvips

    image = pyvips.Image.new_from_array(stained(600, 600, tissue=None)).copy(interpretation="srgb")
    image.tiffsave(str(tmp_path / "oblong.tif"), tile=True, compression="deflate", xres=2000, yres=2200)
    assert "not square" in fault_of(tmp_path / "oblong.tif").cause


def test_blank_slide_has_no_tissue(fault_of, write_slide, stained):
    rng = np.random.default_rng(3)
    dusty = np.clip(stained(800, 800, tissue=None) + rng.normal(0, 2, (800, 800, 1)), 0, 255).astype(np.uint8)
    assert "No tissue" in fault_of(write_slide("blank.svs", dusty)).cause


def test_slide_smaller_than_a_tile(fault_of, write_slide, stained):
    assert "smaller than one tile" in fault_of(write_slide("s.svs", stained(200, 200, tissue=(0, 0, 200, 200)))).cause


def cut_tile(path, *, share: float) -> None:
    """Damage the compressed data of one of the file's first tiles, as a bad sector would."""
    data = bytearray(path.read_bytes())
    at = int(share * len(data))
    data[at : at + 200] = b"\xff" * 200
    path.write_bytes(bytes(data))


def test_one_bad_tile_is_dropped_and_counted_never_painted_white(fine_rules, write_slide, stained):
    path = write_slide("spot.svs", stained(1800, 1800, tissue=(0, 0, 1800, 1800)), pyramid=False)
    whole = tile_slide(path, rules=fine_rules)
    cut_tile(path, share=0.5)
    damaged = tile_slide(path, rules=fine_rules)
    lost = damaged.report["n_rejected_unreadable"]
    assert 1 <= lost <= 4  # a decoded block of 128 px touches at most four tiles
    assert damaged.report["n_kept"] == whole.report["n_kept"] - lost
    same = damaged.tiles.merge(whole.tiles, on=["tile", "x_px", "y_px", "sharpness"])
    assert len(same) == len(damaged.tiles)  # what could be read is what it was


def test_too_many_bad_tiles_fail_the_slide(fault_of, fine_rules, write_slide, stained):
    path = write_slide("spots.svs", stained(1200, 1200, tissue=(0, 0, 1200, 1200)), pyramid=False)
    for share in (0.2, 0.5, 0.8):
        cut_tile(path, share=share)
    assert "cannot be decoded" in fault_of(path, rules=replace(fine_rules, unreadable_share_max=0.0)).cause


def test_the_rest_goes_on(tile, fine_rules, write_slide, stained, tmp_path):
    good = write_slide("good.svs", stained(900, 900, tissue=(100, 100, 800, 800)))
    (tmp_path / "empty.svs").touch()
    files = {"S1": tmp_path / "empty.svs", "S2": good, "S3": tmp_path / "missing.svs"}
    results, report = tile(files, tmp_path, rules=fine_rules)
    assert list(report["status"]) == ["failed", "ok", "failed"]
    assert report["n_kept"].tolist() == [
        0,
        4,
        0,
    ]  # of 16; tissue covers 55 % of the eight tiles at an edge, less of the corners
    assert report.loc[report["status"] == "failed", ["cause", "advice"]].map(len).to_numpy().min() > 10
    assert set(tile_table(results)["slide_id"]) == {"S2"}
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["S2.png"]


def test_no_good_slide_at_all_is_a_sentence(tile, tmp_path):
    results, _ = tile({"S1": tmp_path / "no.svs"}, tmp_path)
    with pytest.raises(SarcnetError, match=r"no\.svs is not there"):
        tile_table(results)


PATIENTS = (
    "patient_id,series,age_years,sex,size_mm,depth,site,histotype,differentiation,mitoses_per_10_hpf,necrosis_fraction,"
    "fnclcc_grade,margins,chemotherapy,radiotherapy,mfs_months,mfs_event\n"
)


@pytest.fixture
def two_hospitals(tmp_path, write_slide, stained) -> Path:
    """The profile of a private cohort: a good slide at each, an empty one at A, as A knows, and a truncated one at B."""
    for slide_id in ("A/A1", "A/A2", "B/B1", "B/B2"):
        write_slide(f"cohort/{slide_id}.svs", stained(500, 500, tissue=(20, 20, 500, 500)))
    empty, truncated = (tmp_path / "cohort" / name for name in ("A/A2.svs", "B/B2.svs"))
    empty.write_bytes(b"")
    truncated.write_bytes(truncated.read_bytes()[:2000])
    for centre in ("A", "B"):
        folder = tmp_path / "cohort" / centre
        ids = [f"{centre}1", f"{centre}2"]
        (folder / "patients.csv").write_text(PATIENTS + "".join(f"P-{i},training{',' * 15}\n" for i in ids))
        rows = "".join(f"{i},P-{i},{i}.svs,,\n" for i in ids)
        (folder / "slides.csv").write_text("slide_id,patient_id,file,mpp,stain\n" + rows)
    (tmp_path / "cohort" / "A" / KNOWN_FAILURES).write_text("slide_id,why\nA2,the scanner broke down\n")
    profile = tmp_path / "two.yaml"
    profile.write_text(f"run_dir: {tmp_path / 'run'}\ncohort_dir: {tmp_path / 'cohort'}\ncohort_kind: private\n")
    return profile


def sarcnet(*words: str | Path) -> tuple[int, str]:
    """Exit code and output of the command line."""
    command = [sys.executable, "-m", "sarcnet.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    return done.returncode, done.stdout + done.stderr


def test_the_command_ends_with_3_and_names_hospitals_and_report(two_hospitals, tmp_path):
    said = "01_tiling: 2 of 4 slides could not be used (1 known beforehand): A 1 of 2, B 1 of 2. Causes and advice: "
    code, text = sarcnet("run", two_hospitals, "--upto", "01")
    assert code == 3, text
    loss, advice, last = text.splitlines()[-3:]
    assert loss.startswith(said)
    assert KNOWN_FAILURES in advice
    assert last == "All else is finished; the exit code is 3."
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "finished with losses"
    assert manifest["stages"]["01_tiling"]["status"] == "ok"
    assert manifest["stages"]["01_tiling"]["left_out"][0]["known"] == {"A": 1}
    listed = pd.read_csv(loss.removeprefix(said), keep_default_na=False)
    assert listed["slide_id"].tolist() == ["A2", "B2"]
    assert listed["known"].tolist() == ["the scanner broke down", ""]
    assert "A2.svs is empty (0 bytes)." in listed["cause"][0]
    assert "B2.svs" in listed["cause"][1]
    code, text = sarcnet("status", two_hospitals)
    assert code == 0
    assert said in text


def loss(**unusable: int) -> dict:
    return {
        "what": "slides", "of": {"A": 9, "B": 8}, "unusable": unusable, "known": {"A": 1}, "report": "f.csv", "advice": "!"
    }  # fmt: skip


def test_a_run_counts_what_nobody_had_said_would_fail():
    foreseen, not_all = {"01": [loss(A=1)]}, {"01": [loss(A=1)], "02": [loss(A=1, B=2)]}
    assert (excluded.unforeseen({}), excluded.unforeseen(foreseen), excluded.unforeseen(not_all)) == (0, 0, 2)
    known = "01: 1 of 17 slides could not be used (all known beforehand): A 1 of 9. Causes and advice: f.csv"
    assert excluded.closing(foreseen) == [known]
    more = "02: 3 of 17 slides could not be used (1 known beforehand): A 1 of 9, B 2 of 8. Causes and advice: f.csv"
    assert excluded.closing(not_all) == [known, more, "!", "All else is finished; the exit code is 3."]


class Desk:
    """What `failures` asks of a stage."""

    def __init__(self) -> None:
        self.sources: list[Path] = []

    def source(self, path: Path) -> Path:
        self.sources.append(path)
        return path


def test_known_failures_are_read_for_each_hospital_and_all_their_faults_are_told(tmp_path):
    files = {name: tmp_path / name[0] / "slides" / f"{name}.svs" for name in ("A1", "A2", "B1", "C1")}
    slides = pd.DataFrame({"slide_id": list(files), "centre": ["A", "A", "B", "C"], "file": ""})
    for centre in "ABC":
        (tmp_path / centre).mkdir()
    (tmp_path / "A" / KNOWN_FAILURES).write_text("slide_id,why\nA2,blank\n")
    desk = Desk()
    assert failures.known_failures(desk, slides, files=files) == {"A2": "blank"}
    assert desk.sources == [tmp_path / "A" / KNOWN_FAILURES]
    (tmp_path / "A" / KNOWN_FAILURES).write_text("slide_id,why\nB1,not ours\n")
    (tmp_path / "B" / KNOWN_FAILURES).write_text("slide,why\nB1,blank\n")
    (tmp_path / "C" / KNOWN_FAILURES).write_bytes(b"")
    with pytest.raises(SarcnetError, match=r"\(3 faults\)[^$]*names 'B1'[^$]*must be slide_id, why[^$]*is not a comma"):
        failures.known_failures(desk, slides, files=files)


def test_virtual_hospitals_name_the_slides_that_they_left_blank(tmp_path):
    """Orders are made, not painted: their tables alone say what is blank."""
    from virtual_cohort import cohort

    size = {"width_um": 700.0, "height_um": 600.0}
    patients = cohort.simulate_cohort(3, counts={"CLB": {"training": 60}})
    orders = cohort.slide_orders(patients, seed=3, artefact_share=1.0, **size)
    cohort._write_tables(tmp_path / "CLB", patients=patients["CLB"], orders=orders)
    files = {order.slide_id: tmp_path / "CLB" / "slides" / f"{order.slide_id}.svs" for order in orders}
    slides = pd.DataFrame({"slide_id": list(files), "centre": "CLB", "file": ""})
    known = failures.known_failures(Desk(), slides, files=files)
    blank = [order.slide_id for order in orders if order.artefact.kind == "blank"]
    assert list(known) == blank
    assert 1 <= len(blank) < 15
    assert set(known.values()) == {"left blank on purpose"}
