"""The direct reader gives OpenSlide's pixels or leaves the place to OpenSlide; it never gives anything else."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile

from sarcnet.slides.reader.grid import tile_grid
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import Level0Px, TilePx, Um

TILE = TilePx(224)


@pytest.fixture
def jpeg_slide(tmp_path, stained):
    """jpeg_slide(name, width=…, **how) -> path of a pyramid in JPEG tiles of 240 px, 0.25 µm/px."""

    def write(name: str, *, width: int = 1440, height: int = 1200, aperio: bool = True, **how: object) -> Path:
        image = pyvips.Image.new_from_array(stained(height, width, tissue=(0, 0, height, width)))
        image = image.copy(interpretation="srgb")
        if aperio:
            text = f"Aperio Image Library v12\n{width}x{height}|AppMag = 40|MPP = 0.25"
            image.set_type(pyvips.GValue.gstr_type, "image-description", text)
        shape = {"tile": True, "tile_width": 240, "tile_height": 240, "pyramid": True, "xres": 4000.0, "yres": 4000.0}
        path = tmp_path / name
        image.tiffsave(str(path), **(shape | {"compression": "jpeg", "Q": 80} | how))
        return path

    return write


def both(path: Path, *, tile_um: float, **direct: bool) -> tuple[TileReader, TileReader]:
    """The reader that users have, and OpenSlide's alone."""
    readers = []
    for options in ({}, {"direct": False}):
        handle, info = open_slide(path)
        readers.append(TileReader(handle, info, plan(info, tile_um=Um(tile_um), tile_px=TILE), **options))
    return readers[0], readers[1]


def assert_same_everywhere(path: Path, *, tile_um: float, count: int = 60) -> TileReader:
    reader, reference = both(path, tile_um=tile_um)
    rng, info = np.random.default_rng(3), reader.info
    limits = [extent - reader.plan.size_px for extent in (info.width_px, info.height_px)]
    corners = [*rng.uniform(0, limits, (count, 2)).round(), (0.0, 0.0), tuple(np.floor(limits))]
    for x, y in corners:
        place = Level0Px(float(x)), Level0Px(float(y))
        np.testing.assert_array_equal(reader.tile(*place), reference.tile(*place))
    return reader


@pytest.mark.parametrize("tile_um", [56.0, 61.6, 112.0, 224.0])  # 1:1 and resampled from level 0, from levels 1 and 2
@pytest.mark.parametrize("how", [{}, {"aperio": False}, {"Q": 95}], ids=["aperio", "generic", "no subsampling"])
def test_direct_pixels_are_openslides_on_every_level(jpeg_slide, how, tile_um):
    reader = assert_same_everywhere(jpeg_slide("whole.tif", **how), tile_um=tile_um)
    assert reader.direct is not None
    assert reader.direct.decoded > 0


def test_a_level_at_broken_places_is_left_to_openslide(jpeg_slide):
    path = jpeg_slide("odd.svs", width=1441, height=1203)  # level 1 has 720 × 601 px: factors 2.0014 and 2.0017
    assert assert_same_everywhere(path, tile_um=112.0).direct is None
    assert assert_same_everywhere(path, tile_um=56.0).direct is not None  # level 0 is its own


@pytest.mark.parametrize("how", [{"compression": "deflate"}, {"compression": "lzw"}])
def test_other_compressions_are_left_to_openslide(jpeg_slide, how):
    assert assert_same_everywhere(jpeg_slide("plain.tif", **how), tile_um=56.0, count=5).direct is None


@pytest.mark.skipif(
    "SARCNET_SHARED_DATA" not in os.environ, reason="SARCNET_SHARED_DATA names no folder of real slides"
)
@pytest.mark.parametrize("tile_um", [112.0, 111.776, 90.0])
def test_direct_pixels_of_a_real_slide_are_openslides(tile_um):
    path = Path(os.environ["SARCNET_SHARED_DATA"]) / "slides" / "CMU-1-Small-Region.svs"
    assert assert_same_everywhere(path, tile_um=tile_um, count=40).direct is not None


def test_a_damaged_tile_is_what_openslide_makes_of_it(jpeg_slide):
    path = jpeg_slide("hurt.svs")
    with tifffile.TiffFile(path) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    whole, rng, outcomes = path.read_bytes(), np.random.default_rng(5), []
    for trial in range(60):
        hurt, index = (
            bytearray(whole),
            int(rng.choice([1, 2, 3, 7, 8, 9])),
        )  # none of those that are compared on opening
        at = offsets[index] + int(rng.integers(counts[index] // 2))
        length = int(rng.choice([1, 20, counts[index] // 2]))
        hurt[at : at + length] = bytes(length) if trial % 2 else rng.bytes(length)
        path.write_bytes(hurt)
        row, column = divmod(index, 6)
        reader, reference = both(path, tile_um=56.0)
        place = Level0Px(column * 240.0 + 8), Level0Px(row * 240.0 + 8)
        found, want = (pixels_or_none(one, place) for one in (reader, reference))
        assert (found is None) == (want is None)
        if want is not None:
            np.testing.assert_array_equal(found, want)
        outcomes.append((want is None, reader.direct is not None))
        reader.close()
        reference.close()
    assert {refused for refused, _ in outcomes} == {True, False}
    assert all(direct for _, direct in outcomes)


def pixels_or_none(reader: TileReader, place: tuple[Level0Px, Level0Px]) -> np.ndarray | None:
    try:
        return reader.tile(*place)
    except UnreadableTile:
        return None


@pytest.mark.parametrize("pyramid", [True, False], ids=["own level", "resampled from level 0"])
def test_each_jpeg_tile_is_decoded_about_once(jpeg_slide, monkeypatch, pyramid):
    path = jpeg_slide("count.svs", width=5760, height=3840, pyramid=pyramid)
    for fitting in (1000, 24 + 12):  # JPEG tiles in the cache: whatever is asked for, and one row of level 0 and a few
        monkeypatch.setattr("sarcnet.slides.reader.jpeg_tiles.CACHE_BYTES", fitting * 3 * 240 * 240)
        reader, _ = both(path, tile_um=112.0)
        grid = tile_grid(reader.info, size_px=reader.plan.size_px)
        for x, y in zip(grid.x_px, grid.y_px, strict=True):
            reader.region(x, y)
        ideal = len(grid.x_px) * (TILE * reader.plan.ratio) ** 2
        assert reader.direct is not None
        assert 1.0 <= reader.direct.decoded * 240 * 240 / ideal <= 1.3


def test_threads_at_one_place_decode_it_once(jpeg_slide):
    reader, reference = both(jpeg_slide("shared.svs"), tile_um=56.0)
    tiles = reader.direct
    assert tiles is not None
    tiles.decoded, decode, begun = 0, tiles._decode, threading.Barrier(4)

    def slowly(index: int) -> np.ndarray:
        time.sleep(0.05)  # the others come while it decodes
        return decode(index)

    def together(_: int) -> np.ndarray:
        begun.wait()
        return reader.tile(Level0Px(380.0), Level0Px(620.0))

    tiles._decode = slowly
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(together, range(4)))
    assert tiles.decoded == 4  # columns 1 and 2 of rows 2 and 3
    for one in found:
        np.testing.assert_array_equal(one, reference.tile(Level0Px(380.0), Level0Px(620.0)))


def test_the_cache_has_a_limit_and_the_reader_closes_its_file(jpeg_slide, monkeypatch):
    monkeypatch.setattr("sarcnet.slides.reader.jpeg_tiles.CACHE_BYTES", 5 * 3 * 240 * 240)
    reader, _ = both(jpeg_slide("small.svs"), tile_um=56.0)
    tiles = reader.direct
    assert tiles is not None
    for x in range(0, 1200, 100):
        reader.tile(Level0Px(float(x)), Level0Px(700.0))
    assert len(tiles._kept) + len(tiles._spent) == 5
    reader.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(tiles._file)
    assert reader.direct is None


def test_an_absent_tile_is_left_to_openslide(jpeg_slide):
    path = jpeg_slide("hole.svs")
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        where, width = (
            tag.valueoffset,
            tag.dtype_bytes if hasattr(tag, "dtype_bytes") else tag.valuebytecount // tag.count,
        )
    content = bytearray(path.read_bytes())
    content[where + 8 * width : where + 9 * width] = bytes(width)
    path.write_bytes(content)
    reader, reference = both(path, tile_um=56.0)
    assert reader.direct is None
    for one in (reader, reference):
        assert pixels_or_none(one, (Level0Px(700.0), Level0Px(500.0))) is not None
        for x, y in ((500.0, 250.0), (300.0, 300.0), (670.0, 420.0)):  # inside the hole, and with a corner in it
            assert pixels_or_none(one, (Level0Px(x), Level0Px(y))) is None
