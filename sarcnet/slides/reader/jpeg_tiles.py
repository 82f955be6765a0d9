"""JPEG tiles of a TIFF slide, decoded without OpenSlide: the same pixels in less than half the time.

OpenSlide composes every region anew from tiles with alpha, at sub-pixel places. Where a level's tiles lie at whole
pixels there is nothing to compose, and libjpeg-turbo's pixels can be taken as they are. This is done for Aperio and
generic TIFF slides in baseline JPEG, for a level whose factor to the finest is whole, and only after 64 rows of the
first, the middle and the last tile have been found equal to OpenSlide's, number by number. Everything else, and every
tile that is in the least damaged (libjpeg-turbo's warnings count as errors), is left to OpenSlide, which says what is
wrong with it. Kept for the time it saves; measurements are in docs/slides.md.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import openslide
import simplejpeg
import tifffile

from sarcnet.slides.reader.opening import ONE_GRID, READ_ERRORS, SlideInfo

CACHE_BYTES = 128 * 2**20  # at most, of decoded tiles
COMPARED_ROWS = 64  # of a tile, on opening: two decoders that differ do so all over a tile, and OpenSlide is slow
LOCKS = 64  # more than threads, so that two seldom wait for each other's tile
SAYS_RGB = (
    b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # Adobe's marker, transform 0: three colours as they are
)
COLOURS = {int(tifffile.PHOTOMETRIC.RGB): SAYS_RGB, int(tifffile.PHOTOMETRIC.YCBCR): b""}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # a damaged directory is OpenSlide's to report


class DirectReadError(Exception):
    """This region cannot be had directly; OpenSlide has to be asked."""


@dataclass(frozen=True)
class TileTable:
    """Where the JPEG tiles of one level lie in the file, row by row, and the header that they share."""

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    header: bytes

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.width_px // self.tile_width_px)


class JpegTiles:
    """Regions of one level from its JPEG tiles, with a bounded cache that threads share. `decoded` counts tiles.

    Tiles that the next row of regions will not touch go first, so that one row of JPEG tiles is all the cache needs.
    side_px: of the regions to come; overlap_px: what neighbours among them share.
    """

    def __init__(self, path: os.PathLike[str], table: TileTable, *, side_px: float, overlap_px: int) -> None:
        self.table = table
        self.decoded = 0
        self._overlap_px = overlap_px
        self._file = os.open(path, os.O_RDONLY)
        self._lock = threading.Lock()
        self._decoding = [threading.Lock() for _ in range(LOCKS)]
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._spent: OrderedDict[int, np.ndarray] = OrderedDict()
        # As many rows as regions of side_px can touch, for threads that are not in step.
        rows = math.ceil(side_px / table.tile_height_px) + 1
        fitting = CACHE_BYTES // (3 * table.tile_width_px * table.tile_height_px)
        self._keep_most = max(4, min(rows * table.across + 4, fitting))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def region(self, left: int, top: int, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB of pixels of this level.

        Raises:
            DirectReadError: a tile is damaged, or the region leaves the level.
        """
        t = self.table
        if left < 0 or top < 0 or left + width > t.width_px or top + height > t.height_px:
            raise DirectReadError("outside of the level")
        found = np.empty((height, width, 3), np.uint8)
        for row in range(top // t.tile_height_px, (top + height - 1) // t.tile_height_px + 1):
            y = row * t.tile_height_px
            first, last = max(top, y), min(top + height, y + t.tile_height_px)
            for column in range(left // t.tile_width_px, (left + width - 1) // t.tile_width_px + 1):
                x = column * t.tile_width_px
                begin, end = max(left, x), min(left + width, x + t.tile_width_px)
                tile = self._tile(row * t.across + column)
                found[first - top : last - top, begin - left : end - left] = tile[
                    first - y : last - y, begin - x : end - x
                ]
                if max(x + t.tile_width_px - left - width, y + t.tile_height_px - top - height) <= -self._overlap_px:
                    self._spend(row * t.across + column)
        return found

    def _tile(self, index: int) -> np.ndarray:
        with self._decoding[index % LOCKS]:  # of two threads at one tile, the second waits and finds it decoded
            with self._lock:
                if (tile := self._kept.get(index)) is not None:
                    self._kept.move_to_end(index)
                    return tile
                if (tile := self._spent.get(index)) is not None:
                    return tile
            tile = self._decode(index)
            with self._lock:
                self.decoded += 1
                self._kept[index] = tile
                while len(self._kept) + len(self._spent) > self._keep_most:
                    (self._spent or self._kept).popitem(last=False)
            return tile

    def _spend(self, index: int) -> None:
        """No region to the right or below will need this tile, if regions come row by row."""
        with self._lock:
            if (tile := self._kept.pop(index, None)) is not None:
                self._spent[index] = tile

    def _decode(self, index: int) -> np.ndarray:
        t = self.table
        body = os.pread(self._file, t.counts[index], t.offsets[index])
        if len(body) < t.counts[index] or body[:2] != b"\xff\xd8":
            raise DirectReadError("cut short, or no JPEG")
        whole = t.header + body[2:]
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(whole)
            if (height, width) != (t.tile_height_px, t.tile_width_px):  # a damaged size may be gigabytes
                raise DirectReadError("a tile of another size")
            return np.asarray(simplejpeg.decode_jpeg(whole, "RGB", fastdct=False, fastupsample=False, strict=True))
        except ValueError as error:
            raise DirectReadError(str(error)) from error


def jpeg_tiles(
    slide: openslide.OpenSlide, info: SlideInfo, *, level: int, side_px: float, overlap_px: int
) -> JpegTiles | None:
    """A direct reader of one level, if it gives what OpenSlide gives; otherwise None.

    side_px: of the regions to come, in the level's pixels; overlap_px: what neighbours among them share.
    """
    whole = float(slide.level_downsamples[level]).is_integer()
    if info.format not in ONE_GRID or not whole or not hasattr(os, "pread"):
        return None
    table = _tile_table(info, size=slide.level_dimensions[level])
    if table is None:
        return None
    tiles = JpegTiles(info.path, table, side_px=side_px, overlap_px=overlap_px)
    if _agree(tiles, slide, level=level):
        return tiles
    tiles.close()
    return None


def _tile_table(info: SlideInfo, *, size: tuple[int, int]) -> TileTable | None:
    """The one directory of the file that is this level, if its tiles are plain JPEG of three colours."""
    try:
        with tifffile.TiffFile(info.path) as tiff:
            whole = [p for p in tiff.pages if isinstance(p, tifffile.TiffPage)]
            pages = [p for p in whole if p.is_tiled and (p.imagewidth, p.imagelength) == size]
            if len(pages) != 1:
                return None
            page = pages[0]
            colours = COLOURS.get(int(page.photometric or 0))
            kind = (page.compression, page.samplesperpixel, page.bitspersample, page.planarconfig)
            if kind != (tifffile.COMPRESSION.JPEG, 3, 8, tifffile.PLANARCONFIG.CONTIG) or colours is None:
                return None
            tables = page.jpegtables or b"\xff\xd8\xff\xd9"
            return TileTable(
                *(page.imagewidth, page.imagelength, page.tilewidth, page.tilelength),
                offsets=tuple(page.dataoffsets),
                counts=tuple(page.databytecounts),
                header=tables[:2] + colours + tables[2:-2],
            )
    except Exception:  # tifffile fails in many ways on a damaged directory, and OpenSlide reports it
        return None


def _agree(tiles: JpegTiles, slide: openslide.OpenSlide, *, level: int) -> bool:
    """Whether the last rows of the first, the middle and the last tile are OpenSlide's; a missing or short tile speaks
    against all."""
    t, factor = tiles.table, round(slide.level_downsamples[level])
    rows = -(-t.height_px // t.tile_height_px)
    if len(t.offsets) != rows * t.across or len(t.counts) != len(t.offsets) or min(t.counts, default=0) <= 0:
        return False
    for row, column in {(0, 0), (rows // 2, t.across // 2), (rows - 1, t.across - 1)}:
        x, end = column * t.tile_width_px, min((row + 1) * t.tile_height_px, t.height_px)
        y = max(row * t.tile_height_px, end - COMPARED_ROWS)
        size = (min(t.tile_width_px, t.width_px - x), end - y)
        try:
            want = slide.read_region((x * factor, y * factor), level, size)
            found = tiles.region(x, y, *size)
        except (DirectReadError, *READ_ERRORS):
            return False
        opaque = want.getchannel("A").getextrema() == (255, 255)
        if not opaque or want.convert("RGB").tobytes() != found.tobytes():
            return False
    return True
