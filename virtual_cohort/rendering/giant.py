"""A whole slide of up to 80,000 × 60,000 pixels and more, written in memory that does not grow with it.

Run ``python -m virtual_cohort.rendering.giant --width-px 80000 --height-px 60000 out.svs``. The slide is painted block by block
(:mod:`virtual_cohort.rendering.giant_slide`). Encoded tiles wait on disk until their row of blocks is whole, so that
the size of the
blocks changes no byte of the file. Levels of the pyramid follow in steps of 4, as in Aperio's files.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import cv2
import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.progress import track
from virtual_cohort.rendering.giant_slide import LOOK, MPP, SCANNER, GiantSlide
from virtual_cohort.rendering.pyramid import TILE_PX, aperio_text

BLOCK_PX = 2048
STEP = 4  # from level to level
SMALLEST_PX = 512  # a level whose longer side is smaller is the last
BYTES_PER_PX = 0.65  # of the file (0.37 measured) and of what waits on disk beside it (0.2), with some to spare
TRUTH = pa.schema(
    [(name, pa.float64()) for name in ("x_um", "y_um", "area_um2")]
    + [(name, pa.string()) for name in ("class", "region")]
)


@dataclass
class _Level:
    """One level of the pyramid while it is painted: its size, and a file with its pixels or its encoded tiles."""

    width: int
    height: int
    spool: BinaryIO


def write_giant(
    path: Path, *, slide: GiantSlide, truth: Path | None = None, block_px: int = BLOCK_PX, shown: bool = False
) -> None:
    """Write `slide` to `path` as an Aperio-style SVS, whole or not at all; the same bytes whatever `block_px`.

    Args:
        path: of the file.
        slide: what to write.
        truth: Parquet file for every nucleus, as of ordinary slides: x_um, y_um, area_um2, class, region; a group of rows a
            block.
        block_px: side of what is painted at once, a multiple of STAMP; memory grows with it and with nothing else
            but, by a few hundred bytes a row of blocks, the width.
        shown: whether to show progress.

    Raises:
        SarcnetError: the size is impossible, or the disk has too little room; nothing is written then.
    """
    slide.check()
    _room_for(path, slide=slide)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.")))
        part = stack.enter_context(atomic_path(path))
        beside = stack.enter_context(atomic_path(truth)) if truth else None
        levels = [
            _Level(*size, stack.enter_context((folder / f"level{k}").open("w+b")))
            for k, size in enumerate(level_sizes(slide.width_px, slide.height_px))
        ]
        nuclei = stack.enter_context(pq.ParquetWriter(beside, TRUTH)) if beside else None
        tiff = stack.enter_context(tifffile.TiffWriter(part, bigtiff=True))
        for number, level in enumerate(levels):
            tiles = _reread(level, slide)
            if number == 0:
                tiles = _painted(slide, levels=levels, nuclei=nuclei, block_px=block_px, shown=shown)
            _write_level(tiff, level=level, tiles=tiles, slide=slide, first=not number)


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Width and height of each level."""
    sizes = [(width, height)]
    while max(sizes[-1]) > SMALLEST_PX and min(sizes[-1]) >= STEP * 8:
        sizes.append((sizes[-1][0] // STEP, sizes[-1][1] // STEP))
    return sizes


def _room_for(path: Path, *, slide: GiantSlide) -> None:
    """Refuse a slide that the disk has no room for."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free, wanted = shutil.disk_usage(folder).free, int(BYTES_PER_PX * slide.width_px * slide.height_px)
    if free < wanted:
        faults = ErrorCollector()
        faults.add(
            f"{path.name} of {slide.width_px} × {slide.height_px} px needs up to {wanted / 1e9:.2f} GB, and {folder} has "
            f"{free / 1e9:.2f} GB free. Make room, name another folder, or ask for a smaller slide."
        )
        faults.raise_if_any("There is no room for this slide:")


def _write_level(
    tiff: tifffile.TiffWriter, *, level: _Level, tiles: Iterator[bytes], slide: GiantSlide, first: bool
) -> None:
    text = aperio_text(
        width=slide.width_px,
        height=slide.height_px,
        mpp=slide.scanner.mpp,
        quality=slide.scanner.jpeg_quality,
        scanner_name="SIMULATED",
    )
    tiff.write(
        tiles,
        shape=(level.height, level.width, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        description=text if first else f"{text}\r\n{level.width}x{level.height}",
        resolution=(10_000 / slide.scanner.mpp, 10_000 / slide.scanner.mpp) if first else None,
        resolutionunit="CENTIMETER" if first else None,
        subfiletype=0 if first else 1,
        software=False,
        metadata=None,
        maxworkers=1,
    )


def _encoded(tile: np.ndarray, *, quality: int) -> bytes:
    """A tile (h, w, 3), at most TILE_PX each way, as JPEG; what is missing repeats the border."""
    missing = ((0, TILE_PX - tile.shape[0]), (0, TILE_PX - tile.shape[1]), (0, 0))
    full = np.pad(tile, missing, mode="edge") if any(after for _, after in missing) else np.ascontiguousarray(tile)
    return bytes(
        imagecodecs.jpeg8_encode(full, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling=(2, 2))
    )


def _painted(
    slide: GiantSlide, *, levels: list[_Level], nuclei: pq.ParquetWriter | None, block_px: int, shown: bool
) -> Iterator[bytes]:
    """Encoded tiles of the finest level, row by row; writes the pixels of the others, and the nuclei, beside."""
    wide, deep = -(-slide.width_px // block_px), -(-slide.height_px // block_px)
    work: Iterator[int] = (
        iter(track(range(wide * deep), total=wide * deep, what="blocks")) if shown else iter(range(wide * deep))
    )
    for row in range(deep):
        index: dict[tuple[int, int], tuple[int, int]] = {}
        spool = levels[0].spool
        spool.seek(0)
        for column in range(wide):
            next(work)
            top, left = row * block_px, column * block_px
            block = slide.block(top=top, left=left, side=block_px)
            picture = block.picture
            if nuclei is not None:
                nuclei.write_table(pa.Table.from_pandas(block.truth(), schema=TRUTH, preserve_index=False))
            _spool_smaller(picture, top=top, left=left, levels=levels)
            for y in range(0, picture.shape[0], TILE_PX):
                for x in range(0, picture.shape[1], TILE_PX):
                    tile = _encoded(picture[y : y + TILE_PX, x : x + TILE_PX], quality=slide.scanner.jpeg_quality)
                    index[y, left + x] = (spool.tell(), len(tile))
                    spool.write(tile)
        for _, (start, size) in sorted(index.items()):
            spool.seek(start)
            yield spool.read(size)
    for _ in work:
        pass


def _spool_smaller(picture: np.ndarray, *, top: int, left: int, levels: list[_Level]) -> None:
    """Write a block's part of each coarser level to its file of pixels."""
    factor = 1
    for level in levels[1:]:
        factor *= STEP
        height = min(picture.shape[0] // factor, level.height - top // factor)
        width = min(picture.shape[1] // factor, level.width - left // factor)
        if height <= 0 or width <= 0:
            continue
        small = cv2.resize(picture[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        for line in range(height):
            level.spool.seek(((top // factor + line) * level.width + left // factor) * 3)
            level.spool.write(small[line].tobytes())


def _reread(level: _Level, slide: GiantSlide) -> Iterator[bytes]:
    """Encoded tiles of a coarser level, from its file of pixels, a row of tiles at a time."""
    for top in range(0, level.height, TILE_PX):
        rows = min(TILE_PX, level.height - top)
        level.spool.seek(top * level.width * 3)
        raw = level.spool.read(rows * level.width * 3)
        strip = np.frombuffer(raw.ljust(rows * level.width * 3, b"\xff"), np.uint8).reshape(rows, level.width, 3)
        for left in range(0, level.width, TILE_PX):
            yield _encoded(strip[:, left : left + TILE_PX], quality=slide.scanner.jpeg_quality)


def main() -> int:
    """Write one slide; prints its rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="file to write")
    parser.add_argument("--truth", type=Path, help="Parquet file for every nucleus")
    parser.add_argument("--width-px", type=int, default=80_000)
    parser.add_argument("--height-px", type=int, default=60_000)
    parser.add_argument("--mpp", type=float, default=0.5, choices=MPP, help="µm/px")
    parser.add_argument("--histotype", choices=HISTOTYPES, default=HISTOTYPES[0])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    slide = GiantSlide(
        given.width_px,
        given.height_px,
        seed=given.seed,
        look=replace(LOOK, histotype=HISTOTYPES.index(given.histotype)),
        scanner=replace(SCANNER, mpp=given.mpp),
    )
    start = time.perf_counter()
    write_giant(given.path, slide=slide, truth=given.truth, shown=True)
    seconds, megapixels = time.perf_counter() - start, given.width_px * given.height_px / 1e6
    size = given.path.stat().st_size
    print(
        f"{given.path.name}: {megapixels:,.0f} million pixels in {seconds:.0f} s ({megapixels / seconds:.1f} million a "
        f"second), {size / 1e6:,.0f} MB ({size / megapixels / 1e6:.2f} bytes a pixel)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
