"""Reading a tile: so many micrometres of glass, on so many pixels, at exactly the resolution asked for.

The best pyramid level is the coarsest one that is still at least as fine as the request; from it the tile is made
by ONE resample with a fractional source box (`sarcnet.slides.reader.resampling`), so that nothing is rounded to whole pixels
or to a nominal magnification.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import openslide
from PIL import Image

from sarcnet.slides.reader.jpeg_tiles import DirectReadError, jpeg_tiles
from sarcnet.slides.reader.malloc import keep_freed_memory
from sarcnet.slides.reader.opening import ONE_GRID, READ_ERRORS, SlideInfo
from sarcnet.slides.reader.resampling import SUPPORT, Box, resample
from sarcnet.slides.reader.units import Level0Px, LevelPx, Mpp, TilePx, Um, to_level0, um_per_px

MAY_BE_COARSER = 1.02  # a level up to 2 % coarser than asked is enlarged instead of decoding four times the pixels


class UnreadableTile(Exception):
    """These pixels cannot be decoded. The slide has been opened anew, so the next tile can be tried."""


@dataclass(frozen=True)
class ReadPlan:
    """How tiles of one slide are read: all that is realised, beside what was asked."""

    tile_um: Um
    tile_px: TilePx
    target_mpp: Mpp  # µm/px asked for: tile_um / tile_px
    size_px: Level0Px  # side of the tile on level 0, a fraction of a pixel included
    level: int
    level_mpp: Mpp  # µm/px of the level that is decoded
    ratio: float  # pixels of that level per tile pixel: 1 means no resampling


def plan(info: SlideInfo, *, tile_um: Um, tile_px: TilePx) -> ReadPlan:
    """Choose the pyramid level from which tiles of `tile_um` µm on `tile_px` pixels are read.

    Args:
        info: the slide's facts.
        tile_um: side of a tile on the glass, µm.
        tile_px: side of the tile that is returned, px.

    Returns:
        Level, resolution and side in level-0 pixels.
    """
    target = um_per_px(tile_um, tile_px)
    fine_enough = [k for k, factor in enumerate(info.levels) if info.mpp * factor <= target * MAY_BE_COARSER]
    level = max(fine_enough, key=lambda k: info.levels[k], default=0)
    level_mpp = Mpp(info.mpp * info.levels[level])
    return ReadPlan(tile_um, tile_px, target, to_level0(tile_um, info.mpp), level, level_mpp, target / level_mpp)


class TileReader:
    """Reads tiles of one slide through OpenSlide, the reference for every format, or where that gives the same pixels
    directly from the file (`sarcnet.slides.reader.jpeg_tiles`).

    Usable from several threads: OpenSlide guards its handle, and nothing else here changes but on an error. As a
    context manager it closes the slide. direct=False: through OpenSlide whatever the format.
    """

    def __init__(
        self, slide: openslide.OpenSlide, info: SlideInfo, read_plan: ReadPlan, *, direct: bool = True
    ) -> None:
        keep_freed_memory()
        self.info = info
        self.plan = read_plan
        overlap = 2 * _margin_px(read_plan) + 1  # a corner is rounded to a whole pixel
        side = read_plan.size_px / info.levels[read_plan.level] + overlap
        self.direct = (
            jpeg_tiles(slide, info, level=read_plan.level, side_px=side, overlap_px=overlap) if direct else None
        )
        self._nominal = slide.level_downsamples[read_plan.level]  # what OpenSlide divides locations by
        self._slide = slide
        self._opened_anew = 0

    def __enter__(self) -> TileReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()
        if self.direct:
            self.direct.close()
            self.direct = None

    def tile(self, x_px: Level0Px, y_px: Level0Px) -> np.ndarray:
        """The tile whose top-left corner lies at (x_px, y_px) of level 0, as (tile_px, tile_px, 3) uint8 RGB.

        Raises:
            UnreadableTile: the pixels cannot be decoded; nothing is put in their place.
        """
        region, box = self.region(x_px, y_px)
        return resample(region, box, self.plan.tile_px)

    def region(self, x_px: Level0Px, y_px: Level0Px) -> tuple[np.ndarray, Box]:
        """The decoded pixels around a tile, (height, width, 3) uint8, and the tile's fractional box in them: the first half
        of `tile`; `sarcnet.slides.reader.resampling.resample` is the second."""
        factor = self.info.levels[self.plan.level]  # level-0 pixels per pixel of the level
        nominal = self._nominal
        side = self.plan.size_px / factor  # LevelPx
        margin = 0 if self._whole(x_px / factor, y_px / factor, side) else _margin_px(self.plan)
        starts, sizes, offsets = [], [], []
        for position, extent in ((x_px, self.info.width_px), (y_px, self.info.height_px)):
            first = max(0, math.floor(position / factor) - margin)
            last = min(math.floor(extent / factor), math.ceil(position / factor + side) + margin)
            at = round(first * nominal)  # OpenSlide takes whole level-0 pixels and samples at exactly at / nominal
            starts.append(at)
            sizes.append(max(1, last - first))
            offsets.append(min(max(0.0, position / factor - at / nominal), max(0.0, sizes[-1] - side)))
        region = self._read((starts[0], starts[1]), (sizes[0], sizes[1]))
        right, bottom = (min(offset + side, float(size)) for offset, size in zip(offsets, sizes, strict=True))
        left, top = offsets
        return region, (LevelPx(left), LevelPx(top), LevelPx(right), LevelPx(bottom))

    def _whole(self, x: float, y: float, side: float) -> bool:
        """No resampling needed: whole pixels, one to one."""
        return all(float(v).is_integer() for v in (x, y, side)) and side == self.plan.tile_px

    def _read(self, location: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        if self.direct:
            factor = round(self._nominal)
            with contextlib.suppress(DirectReadError):  # OpenSlide says what is wrong with the place
                return self.direct.region(location[0] // factor, location[1] // factor, *size)
        slide = self._slide
        try:
            region = slide.read_region(location, self.plan.level, size)
        except READ_ERRORS as error:
            if slide is self._slide:  # another thread may have replaced it already
                self._slide = openslide.OpenSlide(os.fspath(self.info.path))
                self._opened_anew += 1
            raise UnreadableTile(f"{self.info.path.name} at level-0 pixel {location}: {error}") from error
        if self.info.format in ONE_GRID and _has_hole(region):
            raise UnreadableTile(f"{self.info.path.name} at level-0 pixel {location}: a tile is missing in the file")
        return np.asarray(opaque(region, slide))


def _margin_px(read_plan: ReadPlan) -> int:
    """Pixels of the level that the filter looks at on each side of a tile."""
    return math.ceil(SUPPORT * max(1.0, read_plan.ratio))


def _has_hole(region: Image.Image) -> bool:
    """Whether more than the edge of the slide, a pixel or two along one side, is transparent."""
    alpha = region.getchannel("A")
    return alpha.getextrema()[0] == 0 and alpha.histogram()[0] > 2 * sum(region.size)


def opaque(region: Image.Image, slide: openslide.OpenSlide) -> Image.Image:
    """RGBA as OpenSlide gives it -> RGB. Places that were never scanned (alpha 0) take the slide's own background
    colour; the tissue mask leaves them out."""
    if region.getchannel("A").getextrema() == (255, 255):
        return region.convert("RGB")
    colour = "#" + slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "ffffff")
    ground = Image.new("RGB", region.size, colour)
    ground.paste(region, mask=region.getchannel("A"))
    return ground
