"""The mask finds tissue where tissue was painted, and nothing where there is glass, dust, shadow or ink."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from sarcnet.slides.overview import round_length
from sarcnet.slides.quality import blank_share, sharpness
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.thumbnail import Thumbnail, read_thumbnail, reduced
from sarcnet.slides.reader.units import Mpp
from sarcnet.slides.tiling import TileRules, tile_slide
from sarcnet.slides.tissue import find_tissue

PINK, GLASS, INK = (205, 130, 185), (244, 244, 244), (30, 60, 160)


def thumbnail(shape: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.full((*shape, 3), GLASS, np.uint8)


def mask_of(image: np.ndarray, *, mpp: float = 8.0):
    return find_tissue(Thumbnail(image, Mpp(mpp), mpp / 0.5, np.ones(image.shape[:2], bool)))


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("colour", [PINK, (120, 80, 150), (232, 190, 220), (200, 140, 110)])
def test_finds_painted_tissue_pale_dark_and_saffron(colour):
    image, truth = thumbnail(), np.zeros((200, 300), bool)
    truth[40:160, 60:240] = True
    image[truth] = colour
    assert overlap(mask_of(image).tissue, truth) > 0.95


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (0.98, 0.97, 0.84), (0.9, 0.95, 1.0)])
def test_tinted_glass_is_still_glass(tint):
    image, truth = thumbnail(), np.zeros((200, 300), bool)
    truth[40:160, 60:240] = True
    image[truth] = PINK
    assert overlap(mask_of((image * np.array(tint)).astype(np.uint8)).tissue, truth) > 0.95


def test_slide_full_of_tissue_is_full_of_tissue():
    image = np.full((100, 100, 3), PINK, np.uint8)
    image[::7] = (120, 80, 150)
    assert mask_of(image).tissue.all()


def test_large_holes_stay_small_ones_are_filled():
    image = thumbnail()
    image[20:180, 20:280] = PINK
    image[60:120, 60:120] = GLASS  # 480 µm across
    image[80:86, 200:206] = GLASS  # 48 µm across
    tissue = mask_of(image).tissue
    assert not tissue[90, 90]
    assert tissue[83, 203]


def test_a_corner_of_glass_is_no_hole():
    image, truth = thumbnail((100, 140)), np.zeros((100, 140), bool)
    y, x = np.mgrid[0:100, 0:140]
    truth[:] = (x + y > 14) & (x - y < 120) & (y + 139 - x < 224)  # small corners of glass, as at the rim of a scan
    truth[40:44, 60:64] = False
    image[truth] = PINK
    tissue = mask_of(image).tissue
    assert not tissue[0:4, 0:4].any()
    assert not tissue[-4:, 0:4].any()
    assert tissue[40:44, 60:64].all()
    assert overlap(tissue, truth) > 0.97


@pytest.mark.parametrize(
    "paint",
    [
        lambda image: None,
        lambda image: image.__setitem__((slice(50, 150), slice(50, 150)), (150, 150, 150)),  # shadow: grey
        lambda image: image.__setitem__((slice(50, 52), slice(50, 52)), PINK),  # a speck
    ],
    ids=["glass", "shadow", "speck"],
)
def test_nothing_where_nothing_is(paint):
    image = thumbnail()
    paint(image)
    assert not mask_of(image).tissue.any()


@pytest.mark.parametrize("ink", [INK, (20, 110, 60), (15, 15, 18)], ids=["blue", "green", "black"])
def test_pen_is_told_from_stain(ink):
    image = thumbnail()
    image[20:180, 20:280] = PINK
    image[20:180, 20:120] = (110, 80, 160)  # haematoxylin
    image[80:120, 140:200] = ink
    pen = mask_of(image).pen
    assert pen[85:115, 145:195].all()
    assert pen.sum() < 1.3 * 40 * 60


def layers(count: int, *, stain: np.ndarray) -> np.ndarray:
    """Colour of `count` layers of the same tissue: each lets the same share of the light through (Beer-Lambert)."""
    return np.array(GLASS) * (stain / np.array(GLASS)) ** count


@pytest.mark.parametrize(
    "stain", [(205, 130, 185), (165, 110, 170), (200, 140, 110)], ids=["eosin", "cells", "saffron"]
)
def test_tissue_that_lies_double_is_a_fold_and_denser_tissue_is_none(stain):
    rng = np.random.default_rng(0)
    image = thumbnail()
    image[20:180, 20:280] = np.clip(layers(1, stain=np.array(stain)) + rng.normal(0, 6, (160, 260, 3)), 0, 255)
    image[60:70, 60:200] = layers(3, stain=np.array(stain))  # a fold: down, back and on again
    image[120:160, 60:200] = layers(1.4, stain=np.array(stain)) if stain[2] < 180 else (150, 100, 165)  # more nuclei
    mask = mask_of(image)
    assert mask.fold[63:67, 65:195].mean() > 0.9
    assert not mask.fold[100:].any()
    assert not mask.fold[:, :50].any()
    assert not (mask.fold & mask.pen).any()


def test_pale_stroma_beside_cellular_tumour_is_tissue_and_makes_no_fold_of_it():
    image, truth = thumbnail(), np.zeros((200, 300), bool)
    truth[20:180, 20:280] = True
    image[truth] = (234, 196, 234)  # myxoid: optical density of green 0.10
    image[60:120, 40:120] = (150, 90, 150)
    mask = mask_of(image)
    assert overlap(mask.tissue, truth) > 0.95
    assert not mask.fold.any()


def test_a_pale_film_with_nothing_stained_in_it_is_no_tissue():
    image = thumbnail()
    image[20:80, 20:120] = (234, 196, 234)
    image[100:180, 40:280] = PINK
    tissue = mask_of(image).tissue
    assert not tissue[:90].any()
    assert tissue[110:170, 50:270].all()


def test_pen_glass_and_an_even_slide_hold_no_fold():
    image = thumbnail()
    assert not mask_of(image).fold.any()
    image[20:180, 20:280] = PINK
    image[80:120, 140:200] = INK
    assert not mask_of(image).fold[85:115, 145:195].any()
    assert not mask_of(np.full((100, 100, 3), PINK, np.uint8)).fold.any()


def test_mask_has_the_thumbnails_shape(write_slide, stained):
    _, info = open_slide(write_slide("x.svs", stained(901, 1203, tissue=(100, 100, 800, 700))))
    small = read_thumbnail(info, mpp=Mpp(8.0))
    assert small.image.shape == (56, 75, 3)  # 1203 x 901 px over 16
    assert small.scale == 16.0
    assert find_tissue(small).tissue.shape == small.readable.shape == (56, 75)


def test_blocks_of_a_thumbnail_leave_no_seam(write_slide, monkeypatch):
    y, x = np.mgrid[0:900, 0:1100]
    ramp = np.stack([x / 5, y / 4, (x + y) / 9], axis=-1).astype(np.uint8)
    _, info = open_slide(write_slide("ramp.svs", ramp, pyramid=False))
    whole = read_thumbnail(info, mpp=Mpp(3.3)).image
    monkeypatch.setattr("sarcnet.slides.reader.thumbnail.BLOCK_PX", 97)
    assert np.abs(whole.astype(int) - read_thumbnail(info, mpp=Mpp(3.3)).image).max() <= 1


def test_reducing_a_thumbnail_equals_reading_it_small(write_slide, stained):
    _, info = open_slide(write_slide("x.svs", stained(960, 1280, tissue=(100, 100, 800, 700)), pyramid=False))
    direct, via = read_thumbnail(info, mpp=Mpp(8.0)), reduced(read_thumbnail(info, mpp=Mpp(1.0)), mpp=Mpp(8.0))
    assert np.abs(direct.image.astype(int) - via.image).max() <= 2
    assert direct.scale == via.scale


def test_blur_lowers_sharpness_by_an_order_of_magnitude():
    tile = np.random.default_rng(0).integers(90, 220, (224, 224, 3), dtype=np.uint8)
    blurred = ndimage.gaussian_filter(tile, (2, 2, 0))
    assert sharpness(blurred) < sharpness(tile) / 10
    assert sharpness(np.full((64, 64, 3), 180, np.uint8)) == 0.0


def test_blank_share_counts_pixels_as_bright_as_glass():
    tile = np.full((10, 10, 3), 150, np.uint8)
    tile[:4] = 244
    assert blank_share(tile, glass=np.full(3, 245.0)) == pytest.approx(0.4)
    tile[:4] = (240, 235, 205)
    assert blank_share(tile, glass=np.full(3, 245.0)) == 0
    assert blank_share(tile, glass=np.array([241.0, 238.0, 207.0])) == pytest.approx(0.4)


@pytest.mark.parametrize(("width", "length"), [(1000, 200), (1108, 200), (4800, 500), (30000, 5000), (260, 50)])
def test_scale_bar_is_a_round_length(width, length):
    assert round_length(width) == length


@pytest.fixture
def shared_slide() -> Path:
    folder = os.environ.get("SARCNET_SHARED_DATA")
    if not folder:
        pytest.skip("SARCNET_SHARED_DATA names no folder of real slides")
    return Path(folder) / "slides" / "CMU-1-Small-Region.svs"


def test_real_aperio_slide(shared_slide):
    rules = TileRules(112.0, 224, 8.0, 0.6, 0.2, 0.5, 0.8, 5.0, 0.2)
    done = tile_slide(shared_slide, rules=rules)
    assert done.report["mpp"] == 0.499
    assert done.report["realised_mpp"] == pytest.approx(0.5)
    assert done.report["n_candidates"] == 9 * 13
    assert 35 <= done.report["n_kept"] <= 55  # looked at: the tissue fills a little under half of the field
    assert done.overview.size == (673, 900)
