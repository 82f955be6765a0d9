"""Artefacts change what they say and nothing else, and notebook 01's questions catch those that they claim to."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.params import read_profile
from sarcnet.compendium.seeds import rng
from sarcnet.slides.reader.opening import SlideFault
from sarcnet.slides.tiling import TileRules, tile_slide
from virtual_cohort.cohort import generate
from virtual_cohort.cohort_folder import artefacts_path, slide_path
from virtual_cohort.patients.centres import CENTRES, CLB
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.artefacts import BLANK, KINDS, SIZES, draw_artefact, place_of, settle, truth_table
from virtual_cohort.rendering.pyramid import write_svs
from virtual_cohort.rendering.render import render_slide

SIDE = 700.0
LOOK = Look(0, 2800.0, 80.0, 0.45, 1.0, 17.0, 0.0)
USUAL = read_profile(Path(__file__).resolve().parents[2] / "papermill_params" / "demo.yaml")
RULES = TileRules(**{field.name: USUAL[field.name] for field in fields(TileRules)})


def artefact_of(kind: str, *, number: int = 0):
    return draw_artefact(rng(number, "artefact of the test", kind), kind=kind, width_um=SIDE, height_um=SIDE)


def slide(artefact=None, *, scanner=CLB.scanner, number: int = 0):
    return render_slide(
        number, slide_id="s", look=LOOK, scanner=scanner, width_um=SIDE, height_um=SIDE, artefact=artefact
    )


@pytest.fixture(scope="module")
def clean():
    return slide()


@pytest.mark.parametrize("kind", SIZES)
def test_an_artefact_changes_pixels_in_its_box_and_nowhere_else(clean, kind):
    artefact = artefact_of(kind)
    changed = (slide(artefact).picture != clean.picture).any(axis=2)
    left, top, right, bottom = (round(edge / CLB.scanner.mpp) for edge in artefact.box(width_um=SIDE, height_um=SIDE))
    inside = np.zeros_like(changed)
    inside[top:bottom, left:right] = True
    assert changed[inside].mean() > 0.03
    assert not changed[~inside].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_artefact_gives_the_same_pixels(kind):
    artefact = artefact_of(kind)
    assert np.array_equal(slide(artefact).picture, slide(artefact).picture)


def test_a_tear_takes_its_nuclei_along_and_a_blank_slide_has_none(clean):
    torn = slide(artefact_of("tear")).nuclei
    assert 0 < len(torn) < len(clean.nuclei)
    assert slide(artefact_of(BLANK)).nuclei.empty
    assert len(slide(artefact_of("pen")).nuclei) == len(clean.nuclei)


def test_a_larger_share_adds_artefacts_and_changes_none():
    def settled(share: float):
        size = {"width_um": SIDE, "height_um": SIDE}
        return {f"s{k}": settle(9, slide_id=f"s{k}", artefact_share=share, **size) for k in range(400)}

    none, some, many = settled(0.0), settled(0.2), settled(0.6)
    assert set(none.values()) == {None}
    assert 0.14 < np.mean([a is not None for a in some.values()]) < 0.26
    assert all(many[name] == artefact for name, artefact in some.items() if artefact is not None)
    kinds = [artefact.kind for artefact in settled(1.0).values()]
    assert set(kinds) == set(KINDS)
    assert 5 < kinds.count(BLANK) < 40
    table = truth_table(some, width_um=SIDE, height_um=SIDE)
    assert table["slide_id"].tolist() == [name for name, artefact in some.items() if artefact is not None]
    assert ((table["x_um"] - table["width_um"] / 2 >= -0.01) & (table["width_um"] > 0)).all()


def tiled(tmp_path, artefact, *, scanner, number: int):
    path = tmp_path / "s.svs"
    picture = slide(artefact, scanner=scanner, number=number).picture
    write_svs(path, picture=picture, mpp=scanner.mpp, quality=scanner.jpeg_quality, scanner_name="TEST")
    return tile_slide(path, rules=RULES)


def covered(artefact, tiles, *, scanner, depth_um: float = 0.0) -> np.ndarray:
    """Share of each tile that lies `depth_um` or deeper inside the artefact."""
    shape = (round(SIDE / scanner.mpp), round(SIDE / scanner.mpp))
    place = place_of(artefact, shape=shape, mpp=scanner.mpp)
    rows, columns = (np.linspace(0, n - 1, m).astype(int) for n, m in zip(place.depth.shape, place.shape, strict=True))
    mask = np.zeros(shape, bool)
    mask[place.rows, place.columns] = (place.depth > depth_um)[np.ix_(rows, columns)]
    side = round(112 / scanner.mpp)
    corners = tiles[["x_px", "y_px"]].to_numpy(int)
    return np.array([mask[y : y + side, x : x + side].mean() for x, y in corners])


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize(("kind", "reason", "depth_um"), [("pen", "pen", 0.0), ("out_of_focus", "blurred", 20.0)])
def test_pen_and_blur_are_caught_at_the_usual_thresholds(tmp_path, centre, kind, reason, depth_um):
    """Tiles that lie nearly wholly in a pen mark, or well inside a place out of focus, are left out for that reason.

    Variance is averaged over the tile: a sharp corner of a tenth of it is enough to pass the usual threshold.
    """
    scanner, caught, kept = CENTRES[centre].scanner, 0, 0
    for number in range(4):
        artefact = artefact_of(kind, number=number)
        found = tiled(tmp_path, artefact, scanner=scanner, number=number)
        caught += int(found.report[f"n_rejected_{reason}"])
        kept += int((covered(artefact, found.tiles, scanner=scanner, depth_um=depth_um) >= 0.8).sum())
    assert caught >= 10
    assert kept <= 0.1 * (caught + kept)


@pytest.mark.parametrize("centre", CENTRES)
def test_clean_slides_lose_nothing_to_pen_and_blur(tmp_path, centre):
    found = tiled(tmp_path, None, scanner=CENTRES[centre].scanner, number=1)
    assert len(found.tiles) > 15
    assert found.report["n_rejected_pen"] == found.report["n_rejected_blurred"] == 0


def test_a_blank_slide_is_refused_with_its_cause(tmp_path):
    with pytest.raises(SlideFault, match="No tissue"):
        tiled(tmp_path, artefact_of(BLANK), scanner=CLB.scanner, number=0)


def test_a_cohort_with_artefacts_differs_from_one_without_in_the_slides_that_its_truth_names(tmp_path):
    made = {"seed": 3, "counts": {"IB": {"training": 6}}, "width_um": 300.0, "height_um": 300.0, "jobs": 1}
    slides = list(generate(tmp_path / "clean", **made))
    list(generate(tmp_path / "spoilt", artefact_share=0.5, **made))
    pictures = [
        [slide_path(tmp_path / name, centre="IB", slide_id=slide_id).read_bytes() for slide_id in slides]
        for name in ("clean", "spoilt")
    ]
    changed = {name for name, clean, spoilt in zip(slides, *pictures, strict=True) if clean != spoilt}
    named = set(pd.read_parquet(artefacts_path(tmp_path / "spoilt"))["slide_id"])
    assert changed == named
    assert 0 < len(named) < len(slides)
    assert pd.read_parquet(artefacts_path(tmp_path / "clean")).empty
