"""Every tile, wherever it lies and whatever the pyramid, is what a slow resample straight from the definition gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um

TILE_UM, TILE_PX = 16.0, 32  # 0.5 µm/px
SIDE = 256


def lanczos(x: np.ndarray) -> np.ndarray:
    """sinc(x) sinc(x / 3) within three, nought beyond."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def slow_tile(level: np.ndarray, x: float, y: float, ratio: float) -> np.ndarray:
    """Tile of TILE_PX pixels, each `ratio` pixels of `level` wide, whose corner lies at (x, y) of `level`.

    One matrix a direction; the kernel is widened where pixels are left out and cut at the picture's edge.
    """
    matrices = []
    for start, extent in ((y, level.shape[0]), (x, level.shape[1])):
        middles = start + (np.arange(TILE_PX) + 0.5) * ratio  # (t,)
        offsets = np.arange(extent)[None, :] + 0.5 - middles[:, None]  # (t, extent)
        weights = lanczos(offsets / max(1.0, ratio))
        matrices.append(weights / weights.sum(axis=1, keepdims=True))
    down, across = matrices
    channels = [down @ level[..., c].astype(float) @ across.T for c in range(3)]  # (t, t)
    return np.clip(np.stack(channels, axis=-1), 0, 255)


def pyramid(path: Path, *, mpp: float, factors: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Write a slide whose levels are averages over factor x factor blocks; return the levels."""
    rng = np.random.default_rng(seed)
    # away from 0 and 255: the resample cuts what the kernel overshoots after each direction
    coarse = rng.integers(90, 170, (SIDE // 4, SIDE // 4, 3)).repeat(4, 0).repeat(4, 1)
    full = np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)
    made = [full]
    for factor in factors[1:]:
        blocks = full.reshape(SIDE // factor, factor, SIDE // factor, factor, 3)
        made.append(np.round(blocks.mean((1, 3))).astype(np.uint8))
    text = f"Aperio Image Library v12\n{SIDE}x{SIDE}|AppMag = 20|MPP = {mpp!r}"
    with tifffile.TiffWriter(path) as file:
        for level in made:
            file.write(
                level,
                tile=(64, 64),
                compression="zlib",
                photometric="rgb",
                description=text,
                metadata=None,
                software="",
            )
    return made


@pytest.mark.parametrize("factors", [(1,), (1, 2, 4), (1, 4)], ids=["single", "twos", "four"])
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mpp=st.sampled_from([0.22, 0.2265, 0.2425, 0.25, 0.2527, 0.2627, 0.325, 0.4545, 0.499, 0.5, 0.5022, 0.55])
    | st.floats(0.22, 0.55).map(lambda value: round(value, 4)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 3),
)
def test_tile_equals_a_slow_resample_of_the_level_it_names(tmp_path, factors, mpp, place, seed):
    path = tmp_path / "slide.svs"
    levels = pyramid(path, mpp=mpp, factors=factors, seed=seed)
    handle, info = open_slide(path)
    assert info.mpp == mpp
    assert info.levels == factors
    read_plan = plan(info, tile_um=Um(TILE_UM), tile_px=TilePx(TILE_PX))
    factor = factors[read_plan.level]
    side = TILE_UM / mpp  # level-0 pixels, from the definition
    x, y = (math.floor(share * (SIDE - side)) for share in place)
    with TileReader(handle, info, read_plan) as reader:
        tile = reader.tile(x, y).astype(float)
    want = slow_tile(levels[read_plan.level], x / factor, y / factor, 0.5 / (mpp * factor))
    assert tile.shape == (TILE_PX, TILE_PX, 3)
    assert np.abs(tile - want).max() <= 2.5  # rounded after each direction
    assert np.abs(tile - want).mean() <= 0.5
    assert read_plan.target_mpp == 0.5
    assert read_plan.size_px * info.mpp / read_plan.tile_px == pytest.approx(0.5)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(mpp=st.floats(0.05, 2.0), factors=st.sampled_from([(1.0,), (1.0, 2.0, 4.0, 8.0), (1.0, 4.0, 16.0)]))
def test_no_finer_level_would_do_and_no_coarser_one_is_taken(mpp, factors):
    from sarcnet.slides.reader.opening import SlideInfo
    from sarcnet.slides.reader.units import Level0Px, Mpp

    zero = Level0Px(0.0)
    info = SlideInfo(Path("x.svs"), "aperio", 9000, 9000, factors, Mpp(mpp), "scanner", 40.0, zero, zero)
    chosen = plan(info, tile_um=Um(112.0), tile_px=TilePx(224))
    assert chosen.level_mpp == pytest.approx(mpp * factors[chosen.level])
    assert chosen.ratio * chosen.level_mpp == pytest.approx(0.5)
    usable = [factor for factor in factors if mpp * factor <= 0.5 * 1.02]
    assert factors[chosen.level] == max(usable, default=1.0)
