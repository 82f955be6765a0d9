"""Several slides a patient and plain TIFFs: by parameter, changing nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openslide
import pytest
import pyvips
import tifffile

from sarcnet.cohort.read import read_cohort
from virtual_cohort.cohort import generate, simulate_cohort, slide_orders
from virtual_cohort.cohort_folder import slide_path
from virtual_cohort.patients.centres import CLB

SIZE = {"width_um": 260.0, "height_um": 240.0}
COUNTS = {"CLB": {"training": 2}, "IB": {"training": 2}}


def orders(share: float, *, patients: int = 300, **options):
    cohort = simulate_cohort(3, counts={"CLB": {"training": patients}})
    return slide_orders(cohort, seed=3, **SIZE, several_slides_share=share, artefact_share=0.3, **options)


def test_the_share_of_patients_with_two_and_three_slides():
    per_patient = Counter(Counter(order.patient_id for order in orders(0.3)).values())
    assert set(per_patient) == {1, 2, 3}
    assert 0.23 < 1 - per_patient[1] / 300 < 0.37
    assert 0.05 < per_patient[3] / 300 < 0.16


def test_more_slides_change_none_that_were_there():
    few, many = ({order.slide_id: order.key() for order in orders(share, patients=40)} for share in (0.0, 1.0))
    assert len(few) == 40
    assert set(few) < set(many)
    assert {name: many[name] for name in few} == few


def test_a_patients_other_slide_shows_the_same_tumour_elsewhere():
    first, second = orders(1.0, patients=1)[:2]
    assert (first.look, first.scanner) == (second.look, second.scanner)
    assert first.slide_id != second.slide_id


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    list(generate(folder, seed=3, counts=COUNTS, **SIZE, jobs=1, several_slides_share=1.0, tiff_centres=["CLB"]))
    return folder


def test_the_tables_list_every_slide_and_its_container(cohort):
    slides = read_cohort(cohort, kind="simulated").slides
    assert 8 <= len(slides) <= 12
    for centre, suffix in (("CLB", ".tiff"), ("IB", ".svs")):
        own = slides[slides["centre"] == centre]
        assert own["file"].str.endswith(suffix).all()
        assert set(own["slide_id"].str[-2:]) >= {"S1", "S2"}


def test_a_plain_tiff_says_its_scale_and_three_readers_see_the_same_pixels(cohort):
    path = slide_path(cohort, centre="CLB", slide_id="CLB-T0001-S2", container="tiff")
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(CLB.scanner.mpp, rel=1e-4)
        assert "openslide.objective-power" not in slide.properties
        assert slide.level_count >= 2
        reference = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert np.array_equal(tifffile.imread(path, key=0), reference)
    assert np.array_equal(pyvips.Image.new_from_file(str(path)).numpy()[..., :3], reference)


def test_a_slide_that_changes_its_container_leaves_no_twin(cohort, tmp_path):
    made = {"seed": 3, "counts": {"CLB": {"training": 1}}, **SIZE, "jobs": 1}
    list(generate(tmp_path, **made, tiff_centres=["CLB"]))
    list(generate(tmp_path, **made))
    assert [path.name for path in (tmp_path / "CLB" / "slides").iterdir()] == ["CLB-T0001-S1.svs"]
