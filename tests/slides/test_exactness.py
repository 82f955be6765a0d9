"""Tiles show the glass that was asked for, at the µm/px that was asked for, to a fraction of a pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sarcnet.slides.reader.grid import Grid, share_inside, tile_grid
from sarcnet.slides.reader.opening import SlideInfo, open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import Level0Px, TilePx, Um, to_level0, um_per_px

PERIODS_UM = (41.0, 53.0, 67.0)


def waves(x_um: np.ndarray, y_um: np.ndarray) -> np.ndarray:
    """A pattern known at every point of the glass: red varies along x, green along y, blue along the diagonal."""
    x, y = np.meshgrid(x_um, y_um)
    phases = (x / PERIODS_UM[0], y / PERIODS_UM[1], (x + y) / PERIODS_UM[2])
    return np.stack([127.5 + 100 * np.sin(2 * np.pi * phase) for phase in phases], axis=-1)


def centres(count: int, *, mpp: float, start_um: float = 0.0) -> np.ndarray:
    return start_um + (np.arange(count) + 0.5) * mpp


def slide_of_waves(write_slide, *, mpp: float, size_um: float = 420.0, **kind: bool):
    n = math.ceil(size_um / mpp)
    pixels = np.round(waves(centres(n, mpp=mpp), centres(n, mpp=mpp))).astype(np.uint8)
    return write_slide("waves.svs", pixels, mpp=mpp, **kind)


def shift_px(tile: np.ndarray, expected: np.ndarray, *, mpp: float) -> tuple[float, float]:
    """Displacement of the tile along x (by red) and y (by green), in tile pixels, from the phase of the wave."""
    shifts = []
    for channel, axis in ((0, 0), (1, 1)):
        positions = np.arange(tile.shape[0]) * mpp / PERIODS_UM[channel]
        basis = np.exp(-2j * np.pi * positions)
        got, want = (
            np.sum((image[..., channel].mean(axis=axis) - 127.5) * basis * np.hanning(tile.shape[0]))
            for image in (tile, expected)
        )
        shifts.append(float(np.angle(got / want)) / (2 * np.pi) * PERIODS_UM[channel] / mpp)
    return shifts[0], shifts[1]


@pytest.mark.parametrize("kind", [{"aperio": True}, {"aperio": False}, {"aperio": True, "pyramid": False}])
@pytest.mark.parametrize("mpp", [0.22, 0.25, 0.2627, 0.4545, 0.5, 0.5022, 0.55])
def test_tile_is_the_glass_it_claims_to_be(write_slide, mpp, kind):
    path = slide_of_waves(write_slide, mpp=mpp, **kind)
    handle, info = open_slide(path)
    assert info.mpp == pytest.approx(mpp, rel=1e-4)
    read_plan = plan(info, tile_um=Um(112.0), tile_px=TilePx(224))
    grid = tile_grid(info, size_px=read_plan.size_px)
    assert len(grid.x_px) == 9  # 420 µm hold three tiles of 112 µm each way
    with TileReader(handle, info, read_plan) as reader:
        for x, y in zip(grid.x_px, grid.y_px, strict=True):
            tile = reader.tile(x, y)
            want = waves(centres(224, mpp=0.5, start_um=x * info.mpp), centres(224, mpp=0.5, start_um=y * info.mpp))
            assert tile.shape == (224, 224, 3)
            assert np.abs(shift_px(tile, want, mpp=0.5)).max() < 0.03
            assert np.abs(tile - want).mean() < 1.0  # grey levels


def test_one_to_one_tiles_are_the_slides_own_pixels(write_slide):
    pixels = np.random.default_rng(1).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    handle, info = open_slide(write_slide("own.svs", pixels, mpp=0.5))
    with TileReader(handle, info, plan(info, tile_um=Um(112.0), tile_px=TilePx(224))) as reader:
        assert np.array_equal(reader.tile(224, 224), pixels[224:448, 224:448])


def info_with(mpp: float, *levels: float, size: tuple[int, int] = (100_000, 80_000)) -> SlideInfo:
    from pathlib import Path

    return SlideInfo(Path("x.svs"), "aperio", *size, levels, mpp, "scanner", 40.0, Level0Px(0.0), Level0Px(0.0))


@pytest.mark.parametrize(
    ("mpp", "levels", "level", "ratio"),
    [
        (0.25, (1.0, 4.0, 16.0), 0, 2.0),  # the level at 1 µm/px is too coarse
        (0.25, (1.0, 2.0, 4.0), 1, 1.0),  # read as it is
        (0.2511, (1.0, 2.0, 4.0), 1, 0.9956),  # 0.5022 µm/px: within 2 %, and never called 0.5
        (0.265, (1.0, 2.0, 4.0), 0, 1.8868),  # 0.53 µm/px would be 6 % too coarse
        (0.125, (1.0, 2.0, 4.0, 8.0), 2, 1.0),
        (0.55, (1.0, 4.0), 0, 0.9091),  # the slide has nothing finer: enlarged
    ],
)
def test_level_is_the_coarsest_that_is_fine_enough(mpp, levels, level, ratio):
    read_plan = plan(info_with(mpp, *levels), tile_um=Um(112.0), tile_px=TilePx(224))
    assert read_plan.level == level
    assert read_plan.ratio == pytest.approx(ratio, abs=1e-4)
    assert read_plan.size_px * mpp == pytest.approx(112.0)
    assert read_plan.target_mpp == 0.5


@pytest.mark.parametrize(
    ("mpp", "size", "columns", "rows"),
    [
        (0.5, (1000, 700), 4, 3),  # 224 px a tile
        (0.5, (896, 672), 4, 3),  # exactly filled
        (0.5, (895, 672), 3, 3),  # one pixel short
        (0.4545, (1000, 700), 4, 2),  # 246.4 px
        (0.25, (1000, 700), 2, 1),  # 448 px
        (0.5022, (1000, 700), 4, 3),  # 223.02 px
        (0.5, (200, 700), 0, 0),  # narrower than a tile
    ],
)
def test_grid_holds_as_many_tiles_as_fit(mpp, size, columns, rows):
    side = to_level0(Um(112.0), mpp)
    grid = tile_grid(info_with(mpp, 1.0, size=size), size_px=side)
    assert len(grid.x_px) == columns * rows
    assert len(set(grid.x_px)) == (columns if rows else 0)
    if columns * rows:
        assert grid.x_px.max() + side <= size[0] + 0.5
        assert grid.y_px.max() + side <= size[1] + 0.5


def test_corners_do_not_drift_over_a_large_slide():
    side = to_level0(Um(112.0), 0.4545)
    grid = tile_grid(info_with(0.4545, 1.0), size_px=side)
    columns = np.unique(grid.x_px)
    assert np.abs(columns - np.arange(len(columns)) * side).max() <= 0.5


MASK = """
......
.###..
.###..
.###..
......
......
"""


@pytest.mark.parametrize(
    ("x", "y", "side", "share"),
    [
        (10, 10, 30, 1.0),  # the tissue itself
        (0, 0, 20, 0.25),  # one of four mask pixels
        (5, 5, 10, 0.25),  # cuts through four pixels, one of them tissue
        (0, 0, 60, 0.25),  # the whole slide: 9 of 36
        (15, 15, 20, 1.0),
        (35, 10, 10, 0.5),  # half in, half out
        (42, 42, 10, 0.0),
    ],
)
def test_tissue_share_counted_by_hand(x, y, side, share):
    mask = np.array([[c == "#" for c in line] for line in MASK.split()])
    grid = Grid(np.array([x]), np.array([y]), Level0Px(float(side)))
    assert share_inside(mask, grid=grid, scale=10.0)[0] == pytest.approx(share)


def test_levels_of_an_odd_sized_slide_are_whole_factors(write_slide):
    _, info = open_slide(write_slide("odd.svs", np.full((1003, 1501, 3), 200, np.uint8)))
    assert info.levels == (1.0, 2.0, 4.0, 8.0, 16.0)


def test_units():
    assert um_per_px(Um(112.0), TilePx(224)) == 0.5
    assert to_level0(Um(112.0), 0.4545) == pytest.approx(246.4246)
