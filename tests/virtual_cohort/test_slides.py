"""Rendered slides: real files, the same bytes twice, and pictures that show the truth kept beside them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest
import pyvips
import tifffile

from sarcnet.cohort.read import read_cohort
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from virtual_cohort.cohort import generate, is_done, slide_orders
from virtual_cohort.cohort_folder import slide_path, truth_path
from virtual_cohort.patients.centres import CENTRES, CLB, IB
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.layout import GRID_UM, TUMOUR, lay_out
from virtual_cohort.rendering.mitoses import draw_mitosis
from virtual_cohort.rendering.nuclei import _areas, place_nuclei
from virtual_cohort.rendering.render import render_slide
from virtual_cohort.simulated import simulate_cohort

COUNTS = {"CLB": {"training": 2, "validation": 1}, "IB": {"training": 2, "validation": 1}}
MEDIUM = Look(0, 2800.0, 80.0, 0.45, 1.0, 17.0, 0.0)


def make(folder, *, seed=3, counts=COUNTS, width_um=320.0):
    return list(generate(folder, seed=seed, counts=counts, width_um=width_um, height_um=300.0, jobs=1))


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    make(folder)
    return folder


def paint(look, *, scanner=IB.scanner, name="x", size=420.0):
    return render_slide(1, slide_id=name, look=look, scanner=scanner, width_um=size, height_um=size)


def darkness(picture):
    """Red light taken away: nuclei and little else."""
    return -np.log10((picture[..., 0].astype(float) + 1) / 256)


def test_openslide_reads_scale_objective_and_levels(cohort):
    for centre in (CLB, IB):
        path = slide_path(cohort, centre=centre.name, slide_id=f"{centre.name}-T0001-S1")
        with openslide.OpenSlide(path) as slide:
            assert slide.properties["openslide.vendor"] == "aperio"
            assert float(slide.properties["openslide.mpp-x"]) == centre.scanner.mpp
            assert slide.properties["openslide.objective-power"] == "20"
            assert slide.level_count >= 2
            assert slide.dimensions == (round(320 / centre.scanner.mpp), round(300 / centre.scanner.mpp))


def test_three_readers_see_the_same_pixels(cohort):
    path = slide_path(cohort, centre="IB", slide_id="IB-T0001-S1")
    with openslide.OpenSlide(path) as slide:
        reference = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert np.array_equal(tifffile.imread(path, key=0), reference)
    assert np.array_equal(pyvips.Image.new_from_file(str(path)).numpy()[..., :3], reference)


def test_two_generations_agree_byte_for_byte(cohort, tmp_path):
    make(tmp_path)
    first, second = bytes_of(cohort), bytes_of(tmp_path)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_the_cohort_reads_like_a_hospitals(cohort):
    read = read_cohort(cohort, kind="simulated")
    assert len(read.training) == 4
    assert len(read.validation) == 2
    assert set(read.slides["stain"]) == {"HE", "HES"}
    truth = pd.read_parquet(cohort / "truth" / "patients.parquet")
    assert list(truth["patient_id"]) == list(read.patients["patient_id"])
    for centre in ("CLB", "IB"):
        assert not list((cohort / centre).rglob("*.parquet")), "truth stays out of the hospitals"


def test_a_killed_generation_resumes_and_a_damaged_slide_is_painted_anew(tmp_path):
    half = generate(tmp_path, seed=3, counts=COUNTS, width_um=320.0, height_um=300.0, jobs=1)
    for _ in range(3):
        last = next(half)
    half.close()
    assert not (tmp_path / "cohort.json").exists()
    path = slide_path(tmp_path, centre="CLB", slide_id=last)
    before = path.stat().st_mtime_ns
    first = slide_path(tmp_path, centre="CLB", slide_id="CLB-T0001-S1")
    whole = first.read_bytes()
    first.write_bytes(whole[:1000])
    make(tmp_path)
    assert path.stat().st_mtime_ns == before
    assert first.read_bytes() == whole
    assert json.loads((tmp_path / "cohort.json").read_text())["kind"] == "simulated"


def test_a_copied_cohort_is_not_painted_again_and_one_of_other_code_is(cohort, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(cohort, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    painted = []
    monkeypatch.setattr("virtual_cohort.cohort.paint", lambda order, **paths: painted.append(order.slide_id))
    made = make(copy)
    assert made
    assert not painted
    order = slide_orders(simulate_cohort(3, counts=COUNTS), seed=3, width_um=320.0, height_um=300.0)[0]
    assert is_done(copy, order=order)
    monkeypatch.setattr("virtual_cohort.rendering.painting.code_key", lambda *modules: "other code")
    assert not is_done(copy, order=order)


def test_slides_of_other_parameters_never_stay(tmp_path):
    make(tmp_path)
    old = bytes_of(tmp_path)
    make(tmp_path, width_um=340.0, counts={"CLB": {"training": 1, "validation": 1}})
    new = bytes_of(tmp_path)
    kept = {name for name in new if name.endswith(".svs")}
    assert kept == {"CLB/slides/CLB-T0001-S1.svs", "CLB/slides/CLB-V0001-S1.svs"}
    assert all(new[name] != old[name] for name in kept)
    assert set(read_cohort(tmp_path, kind="simulated").patients["centre"]) == {"CLB"}
    assert not [name for name in new if name.startswith("truth/slides/IB")]


@pytest.mark.parametrize("change", [{"seed": 4}, {"width_um": 321.0}, {"height_um": 1.0}, {"slide_id": "other"}])
def test_every_parameter_changes_the_key(change):
    order = slide_orders(simulate_cohort(3, counts=COUNTS), seed=3, width_um=320.0, height_um=300.0)[0]
    assert replace(order, **change).key() != order.key()
    assert replace(order, look=replace(order.look, hyperchromasia=9.0)).key() != order.key()
    assert replace(order, scanner=replace(order.scanner, jpeg_quality=50)).key() != order.key()


def beside(*names):
    """Puts files into a folder."""

    def put(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text('{"kind": "private"}')

    return put


@pytest.mark.parametrize(
    "put",
    [
        beside("cohort.json"),
        beside("LYON/patients.csv"),
        beside("LYON/slides/rare.svs"),  # slides copied first, tables not yet written, cohort_kind left as it was
        beside("LYON/slides/rare.svs", "LYON/patients.csv", "truth/notes.txt"),
        beside("CLB/slides/CLB-T0001-S1.svs"),
    ],
)
def test_a_folder_that_was_not_made_here_is_refused_untouched(tmp_path, put):
    put(tmp_path)
    before = bytes_of(tmp_path)
    with pytest.raises(SarcnetError, match="nothing is overwritten"):
        make(tmp_path)
    assert bytes_of(tmp_path) == before


def test_what_was_put_into_a_virtual_cohort_stays(cohort, tmp_path):
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    beside("CLB/slides/rare.svs")(folder)
    make(folder, counts={"CLB": {"training": 1, "validation": 1}})
    assert (folder / "CLB" / "slides" / "rare.svs").exists()
    beside("LYON/patients.csv", "LYON/slides/rare.svs")(folder)
    before = bytes_of(folder)
    with pytest.raises(SarcnetError, match="LYON is no virtual hospital"):
        make(folder)
    assert bytes_of(folder) == before


def test_half_files_of_a_killed_run_are_swept(cohort, tmp_path):
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    half = [folder / "IB" / "slides" / ".IB-T0002-S1.ab_12cd.svs", folder / "truth" / "slides" / ".IB-T0002-S1.x1.json"]
    for file in half:
        file.write_bytes(b"half")
    make(folder)
    assert [file for file in half if file.exists()] == []
    assert bytes_of(folder) == bytes_of(cohort)


def test_a_cohort_being_repaired_does_not_call_itself_finished(cohort, tmp_path):
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    slide_path(folder, centre="IB", slide_id="IB-V0001-S1").unlink()
    work = generate(folder, seed=3, counts=COUNTS, width_um=320.0, height_um=300.0, jobs=1)
    next(work)
    work.close()
    assert not (folder / "cohort.json").exists()
    make(folder)
    assert bytes_of(folder) == bytes_of(cohort)


def test_impossible_parameters_are_refused_together_before_anything_is_written(tmp_path, monkeypatch):
    lopsided = replace(IB.mix, histotypes=(0.6, 0.6, 0.0, 0.0, 0.0, 0.0), sites=(-0.2, 0.6, 0.6))
    monkeypatch.setitem(CENTRES, "IB", replace(IB, mix=lopsided))
    wrong = {
        "seed": -1,
        "counts": {"CLB": {"training": 0}, "IB": {"training": 2}},
        "width_um": -300.0,
        "height_um": 1e6,
    }
    with pytest.raises(SarcnetError) as caught:
        list(generate(tmp_path / "new", **wrong, jobs=0, artefact_share=1.2, tiff_centres=["Lyon"]))
    said = str(caught.value)
    assert "(9 faults)" in said
    for part in (
        "seed is -1",
        "jobs is 0",
        "width_um is -300",
        "height_um is 1e+06",
        "artefact_share is 1.2",
        "0 patients in",
    ):
        assert part in said
    for part in ("shares of histotypes at IB", "shares of sites at IB", "tiff_centres names Lyon"):
        assert part in said
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_dark_where_the_truth_has_nuclei(cohort):
    path = slide_path(cohort, centre="IB", slide_id="IB-T0001-S1")
    nuclei = pd.read_parquet(truth_path(cohort, slide_id="IB-T0001-S1"))
    with openslide.OpenSlide(path) as slide:
        dark = darkness(np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")))
    alive = nuclei[(nuclei["class"] == "tumour") & (nuclei["area_um2"] > 30)]
    y, x = (
        np.clip((alive[c] / IB.scanner.mpp).astype(int), 0, dark.shape[k] - 1) for k, c in enumerate(("y_um", "x_um"))
    )
    assert len(alive) > 50
    assert (dark[y, x] > np.quantile(dark, 0.75)).mean() > 0.9


@pytest.mark.parametrize(
    ("knob", "low", "high"), [("cellularity_per_mm2", 1700.0, 5000.0), ("nuclear_area_um2", 50.0, 115.0)]
)
def test_more_or_larger_nuclei_cover_more_of_the_picture(knob, low, high):
    covered = [(darkness(paint(replace(MEDIUM, **{knob: value})).picture) > 0.32).mean() for value in (low, high)]
    assert covered[1] > 1.4 * covered[0]


def test_nuclei_follow_the_knobs():
    calm, wild = (
        paint(replace(MEDIUM, anisokaryosis_cv=cv)).nuclei.query("`class` == 'tumour'") for cv in (0.25, 0.65)
    )
    spread = [table["area_um2"].std() / table["area_um2"].mean() for table in (calm, wild)]
    assert spread[1] > 1.7 * spread[0]
    few, many = (paint(replace(MEDIUM, mitoses_per_10_hpf=m), size=700.0).nuclei["class"] for m in (2.0, 80.0))
    assert (many == "mitosis").sum() > (few == "mitosis").sum() + 5
    dead = paint(replace(MEDIUM, necrosis_fraction=0.5)).nuclei
    assert ((dead["class"] == "necrotic") == (dead["region"] == 4)).mean() > 0.97


@pytest.mark.parametrize("wanted", [0.35, 0.6, 0.9])
def test_nuclear_areas_have_the_mean_and_spread_that_the_patient_has(wanted):
    """Where malignancy shows fully, over many nuclei; and giants are rare, large, and only where sizes vary."""
    look, n = replace(MEDIUM, anisokaryosis_cv=wanted), 60_000
    area, giant = _areas(np.random.default_rng(2), kind=np.zeros(n, int), vigour=np.full(n, 0.75), look=look)
    assert area.mean() == pytest.approx(look.nuclear_area_um2 * 1.01, rel=0.03)
    assert area.std() / area.mean() == pytest.approx(wanted, rel=0.05)
    assert giant.mean() < (0.001 if wanted < 0.4 else 0.04)
    if wanted > 0.4:
        assert np.median(area[giant]) > 3 * np.median(area)


@pytest.mark.parametrize("per_10_hpf", [5.0, 14.5, 60.0])
def test_as_many_mitoses_are_drawn_as_the_count_says(per_10_hpf):
    """In each class of the FNCLCC score (0-9, 10-19, 20 and more per 10 fields of 0.1734 mm²): figures per area of living
    tumour, over twelve slides, within three standard errors of a Poisson count and a tenth for the places drawn."""
    figures = area_mm2 = 0.0
    for number in range(12):
        layout = lay_out(rng(number, "mitoses"), histotype=0, necrosis=0.1, width_um=1500, height_um=1500)
        look = replace(MEDIUM, mitoses_per_10_hpf=per_10_hpf)
        nuclei = place_nuclei(rng(number, "mitoses", "nuclei"), layout=layout, look=look)
        figures += ((nuclei["class"] == "mitosis") & (nuclei["region"] == TUMOUR)).sum()
        area_mm2 += ((layout.region == TUMOUR) & (layout.tissue > 0.01)).sum() * GRID_UM**2 * 1e-6
    expected = per_10_hpf / 1.734 * area_mm2
    assert abs(figures - expected) < 3 * np.sqrt(expected) + 0.1 * expected


@pytest.mark.parametrize("form", [0.2, 0.45, 0.6, 0.8, 0.95])
def test_a_mitotic_figure_is_dark_clumped_and_of_its_area(form):
    canvas, dice = np.zeros((120, 120), np.uint8), np.full(8, 0.4)
    dice[1] = form
    draw_mitosis(canvas, np.array([60.0, 60.0]), angle=0.3, radius=15.0, value=200.0, dice=dice)
    assert canvas.max() == 200
    assert 0.6 < (canvas > 100).sum() / (np.pi * 15**2) < 1.7
    pieces = cv2.connectedComponents((canvas > 100).astype(np.uint8))[0] - 1
    assert pieces == (2 if form == 0.6 else 1)  # an anaphase is a pair
    assert (canvas[58:62, 58:62] < 20).all() == (form in (0.45, 0.6))  # a ring, and the gap of a pair


def test_hyperchromasia_darkens_and_saffron_yellows():
    pale, dark = (darkness(paint(replace(MEDIUM, hyperchromasia=h)).picture) for h in (0.8, 1.3))
    assert np.quantile(dark, 0.95) > np.quantile(pale, 0.95) + 0.05
    hes, he = (paint(MEDIUM, scanner=centre.scanner).picture.reshape(-1, 3).astype(float) for centre in (CLB, IB))
    blue_less_red = [np.quantile(p[:, 0] - p[:, 2], 0.99) for p in (hes, he)]
    assert blue_less_red[0] > blue_less_red[1] + 40


def test_there_is_enough_tissue_for_thirty_tiles():
    slide = render_slide(1, slide_id="big", look=MEDIUM, scanner=CLB.scanner, width_um=1000, height_um=900)
    stained = (slide.picture.min(axis=2) < 215).astype(float)
    side = 223  # 112 µm
    height, width = (n // side * side for n in stained.shape)
    shares = stained[:height, :width].reshape(height // side, side, width // side, side).mean(axis=(1, 3))
    assert (shares > 0.5).sum() >= 30
