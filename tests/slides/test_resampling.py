"""The fast resample: Pillow's pixels when both go the same way first, any box, any thread, any vector instructions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcnet.slides.reader import resampling
from sarcnet.slides.reader.resampling import SUPPORT, Box, resample, with_pillow
from sarcnet.slides.reader.units import LevelPx, TilePx

cykooz_resizer = pytest.importorskip("cykooz_resizer", reason="no package for this processor: Pillow resamples")

SIDE = 64
TILE = TilePx(24)


def picture(seed: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Edges of every strength, up to black beside white."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def turned(box: Box) -> Box:
    """The box after rows and columns have changed places."""
    left, top, right, bottom = box
    return top, left, bottom, right


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Anywhere in the picture, up to its edges."""
    edges = [sorted(draw(st.tuples(st.floats(0, SIDE), st.floats(0, SIDE)))) for _ in range(2)]
    (left, right), (top, bottom) = edges
    if min(right - left, bottom - top) < 1:
        left, top, right, bottom = 0.0, 0.0, float(SIDE), float(SIDE)
    return LevelPx(left), LevelPx(top), LevelPx(right), LevelPx(bottom)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(box=boxes(), seed=st.integers(0, 9))
def test_pixels_are_pillows_when_both_begin_with_the_same_direction(box, seed):
    region = picture(seed)
    fast = resample(region, box, TILE).astype(int)
    pillow = with_pillow(np.ascontiguousarray(region.swapaxes(0, 1)), turned(box), TILE).swapaxes(0, 1).astype(int)
    assert np.abs(fast - pillow).max() <= 2  # weights of 16 bits against 22, in each direction
    assert (fast != pillow).mean() <= 0.05


@pytest.mark.parametrize("ratio", [1.002, 1.1, 1.98, 2.0, 4.0])
def test_on_tissue_like_pixels_both_directions_give_the_same_tile(ratio):
    margin = int(np.ceil(SUPPORT * ratio))
    side = TILE * ratio
    extent = int(np.ceil(side)) + 2 * margin + 1
    region = (picture(1, extent, extent) // 4 + 120).astype(np.uint8)  # nothing is cut at 0 or 255
    box = tuple(LevelPx(v) for v in (margin + 0.3, margin + 0.7, margin + 0.3 + side, margin + 0.7 + side))
    assert np.abs(resample(region, box, TILE).astype(int) - with_pillow(region, box, TILE)).max() <= 1


def test_the_same_bytes_whatever_the_vector_instructions(monkeypatch):
    region, box = picture(2), (LevelPx(0.3), LevelPx(1.7), LevelPx(60.1), LevelPx(61.5))
    usual = resample(region, box, TILE)
    plain = cykooz_resizer.Resizer()
    plain.cpu_extensions = cykooz_resizer.CpuExtensions.none
    monkeypatch.setattr(cykooz_resizer, "Resizer", lambda: plain)
    assert np.array_equal(resample(region, box, TILE), usual)


def test_threads_do_not_disturb_each_other():
    places = [tuple(LevelPx(v) for v in (k / 7, k / 5, k / 7 + 49.3, k / 5 + 49.3)) for k in range(50)]
    region = picture(3)
    alone = [resample(region, box, TILE) for box in places]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda box: resample(region, box, TILE), places))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_box_that_ends_at_the_edge_is_not_refused_for_a_rounding():
    height, width = 40, 50
    region = picture(4, height, width)
    for start in np.linspace(0.0, 9.9, 997):
        box = (LevelPx(start), LevelPx(start / 3), LevelPx(float(width)), LevelPx(float(height)))
        assert resample(region, box, TILE).shape == (TILE, TILE, 3)


def test_whole_pixels_are_handed_back_and_pillow_stands_in(monkeypatch):
    region = picture(5, TILE, TILE)
    whole = (LevelPx(0.0), LevelPx(0.0), LevelPx(float(TILE)), LevelPx(float(TILE)))
    assert resample(region, whole, TILE) is region
    monkeypatch.setattr(resampling, "cykooz_resizer", None)
    box = (LevelPx(1.5), LevelPx(2.5), LevelPx(20.5), LevelPx(21.5))
    assert np.array_equal(resample(region, box, TILE), with_pillow(region, box, TILE))
