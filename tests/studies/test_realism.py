"""The measures of realism on known answers, and what they must say of rendered fields."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from sarcnet.compendium.seeds import rng
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import runtime_for
from studies.morphometry_validation.segmentation_metrics import detection
from studies.realism import (
    area_statistics,
    compare,
    counted,
    counted_real,
    found_nuclei,
    frechet,
    nearest,
    real_folder,
    real_tiles,
    rendered_tiles,
    shuffled,
    tiles_of,
    unequal,
)


def discs(centres, *, radius=9, side=200):
    picture = np.full((side, side, 3), (235, 190, 215), np.uint8)
    for y, x in centres:
        picture[disk((y, x), radius, shape=picture.shape[:2])] = (90, 70, 150)
    return picture


def test_drawn_discs_are_found_where_they_are_and_touching_ones_are_taken_apart():
    centres = [(40, 40), (40, 57), (120, 60), (150, 150)]
    found = found_nuclei(discs(centres), mpp=0.5)
    known = np.array([(x + 0.5, y + 0.5) for y, x in centres]) * 0.5
    result = detection(known, found)
    assert (result.known, result.found, result.matched) == (4, 4, 4)
    assert found[:, 2].sum() == pytest.approx(4 * np.pi * 4.5**2, rel=0.2)


def test_frechet_distance_of_known_normals():
    generator = rng(0, "frechet of the test")
    one, other = (generator.standard_normal((20000, 2)) * scale + shift for scale, shift in ((1.0, 0.0), (3.0, 2.0)))
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)
    assert frechet(one, other) == pytest.approx(2 * 2.0**2 + 2 * (3 - 1) ** 2, rel=0.03)


def test_area_statistics_of_known_areas():
    found = np.exp(area_statistics(np.array([10.0, 10.0, 20.0, 20.0, 30.0, 30.0])))
    assert found[:3] == pytest.approx([6, 20, np.sqrt(200 / 3) / 20])
    assert found[5] == pytest.approx(20)
    assert not area_statistics(np.ones(5)).any()


def test_nuclei_of_the_patients_are_as_unequal_as_in_real_fields():
    """The patients' range holds what nine tenths of real fields show, and reaches beyond it on both sides."""
    table = unequal(real_folder(), patients=400)
    simulated = table.iloc[0]
    assert simulated[0.05] == pytest.approx(0.35, abs=0.05)
    assert simulated[0.95] == pytest.approx(0.91, abs=0.05)
    if len(table) == 1:
        pytest.skip("no real pictures: SARCNET_SHARED_DATA names no folder of them")
    real = table.iloc[1]
    assert simulated[0.05] < real[0.05] < real[0.95] < simulated[0.95]
    assert simulated[0.5] == pytest.approx(real[0.5], abs=0.1)


def test_nearest_is_zero_for_a_copy_and_one_at_right_angles():
    assert nearest(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0)
    assert nearest(np.array([[0.0, 0.0, 5.0]]), np.array([[1.0, 0.0, 0.0]])) == pytest.approx(1)


def test_shuffling_keeps_every_pixel_and_whole_pieces():
    tiles = rng(0, "tiles of the test").integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    mixed = shuffled(tiles, piece_px=28, generator=rng(1, "order of the test"))
    assert not np.array_equal(mixed, tiles)
    assert np.array_equal(np.sort(mixed[0].ravel()), np.sort(tiles[0].ravel()))
    pieces = {mixed[0, y : y + 28, x : x + 28].tobytes() for y in range(0, 224, 28) for x in range(0, 224, 28)}
    assert tiles[0, 28:56, 56:84].tobytes() in pieces


def test_tiles_without_tissue_are_left_out():
    picture = np.full((230, 450, 3), 245, np.uint8)
    picture[:224, :224] = 120
    assert tiles_of(picture).shape == (1, 224, 224, 3)


def test_nuclei_of_rendered_fields_are_counted_as_the_truth_says():
    table = counted(fields=6, side_um=260).set_index("nuclei")
    assert table.loc["class tumour", "recall"] > 0.8
    assert table.loc["all", "precision"] > 0.8


def test_rendered_tiles_lie_nearer_to_real_ones_than_shuffled_tiles_do():
    folder = real_folder()
    if folder is None:
        pytest.skip("no real pictures: SARCNET_SHARED_DATA names no folder of them")
    real = {name: tiles[:24] for name, tiles in real_tiles(folder).items() if len(tiles) >= 24}
    rendered = rendered_tiles(8)
    runtime = runtime_for(encoder_named("mobilenetv2_imagenet"))
    features = {name: runtime.encode(tiles) for name, tiles in real.items()}
    mixed = shuffled(rendered, piece_px=8, generator=rng(0, "controls of the test"))
    table = compare(
        {"simulated": runtime.encode(rendered), "shuffled": runtime.encode(mixed)}, real=features
    ).set_index("tiles")
    assert table.loc["simulated", "nearest"] < 0.85 * table.loc["shuffled", "nearest"]
    assert table.loc["simulated", "frechet"] < table.loc["shuffled", "frechet"]


def test_real_nuclei_outlined_by_hand_are_found():
    folder = real_folder()
    if folder is None:
        pytest.skip("no real pictures: SARCNET_SHARED_DATA names no folder of them")
    found = counted_real(folder, mpp=0.25, most=8).sum()
    assert found["matched"] > 0.8 * found["found"]
