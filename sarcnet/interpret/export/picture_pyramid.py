"""A slide as small JPEG tiles at several resolutions that together weigh no more than they may."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sarcnet.interpret.export.pages import jpeg_url
from sarcnet.slides.overview import overview_mpp
from sarcnet.slides.reader.opening import SlideInfo, open_slide
from sarcnet.slides.reader.thumbnail import read_thumbnail
from sarcnet.slides.reader.units import Mpp

SIDE_PX = 256
COARSEST_PX = 320  # longer side of the coarsest level, at most
JPEG_QUALITY = 72
STEP = 1.2  # by which the finest level is coarsened when it weighs too much
ALL_LEVELS = 4 / 3  # weight of a whole pyramid in weights of its finest level


@dataclass(frozen=True)
class Level:
    """`scale` level-0 pixels per pixel; `urls[row][column]` data:image/jpeg of SIDE_PX² pixels, less at the far edges."""

    scale: float
    width: int
    height: int
    urls: list[list[str]]


@dataclass(frozen=True)
class PicturePyramid:
    """Levels of one slide from coarse to fine; `bytes` of all of them as text; `finest_mpp` in µm/px."""

    info: SlideInfo
    levels: list[Level]
    finest_mpp: Mpp
    bytes: int


def build_pyramid(file: Path, *, mpp: Mpp, bytes_max: int) -> PicturePyramid:
    """Levels that halve the resolution, the finest as fine as `bytes_max` allows and no finer than the slide.

    Args:
        mpp: of level 0, µm/px.
        bytes_max: of all tiles as data URLs.

    Raises:
        SlideFault: the slide cannot be opened or more than a fifth of it not decoded.
    """
    handle, info = open_slide(file, mpp_override=mpp)
    handle.close()
    start = overview_mpp(info)
    overview = read_thumbnail(info, mpp=start).image
    weight = sum(map(len, (url for row in cut(overview) for url in row)))
    # What a pixel weighs at the overview is about what it weighs when finer, so this comes near at the first try.
    finest = max(info.mpp, start * math.sqrt(weight * ALL_LEVELS / bytes_max))
    while True:
        pyramid = _build(info, finest=Mpp(finest))
        if pyramid.bytes <= bytes_max or max(pyramid.levels[-1].width, pyramid.levels[-1].height) <= COARSEST_PX // 2:
            return pyramid
        finest *= max(STEP, math.sqrt(pyramid.bytes / bytes_max))


def _build(info: SlideInfo, *, finest: Mpp) -> PicturePyramid:
    thumbnail = read_thumbnail(info, mpp=finest)
    image, scale = Image.fromarray(thumbnail.image), thumbnail.scale
    levels = []
    while True:
        levels.append(Level(scale, image.width, image.height, cut(np.asarray(image))))
        if max(image.size) <= COARSEST_PX or min(image.size) < 4:
            break
        width, height = image.width // 2 * 2, image.height // 2 * 2  # so that a pixel is exactly four, and scale exact
        image, scale = image.crop((0, 0, width, height)).reduce(2), scale * 2
    size = sum(len(url) for level in levels for row in level.urls for url in row)
    return PicturePyramid(info, levels[::-1], Mpp(thumbnail.mpp), size)


def cut(picture: np.ndarray) -> list[list[str]]:
    """Picture (h, w, 3) uint8 in tiles of SIDE_PX, as data URLs, row by row."""
    height, width = picture.shape[:2]
    return [
        [jpeg_url(picture[y : y + SIDE_PX, x : x + SIDE_PX], quality=JPEG_QUALITY) for x in range(0, width, SIDE_PX)]
        for y in range(0, height, SIDE_PX)
    ]
