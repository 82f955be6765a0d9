"""One small picture of the whole slide, read block by block so that memory stays flat however large the slide is."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import openslide
from PIL import Image

from sarcnet.slides.reader.opening import READ_ERRORS, SlideFault, SlideInfo
from sarcnet.slides.reader.reading import opaque
from sarcnet.slides.reader.units import Mpp

BLOCK_PX = 2048  # side of a block in pixels of the level that is decoded
CORNERED_PX = 128  # a block no larger than this is given up
UNREADABLE_SHARE_MAX = 0.2  # above, the slide is called damaged


@dataclass(frozen=True)
class Thumbnail:
    """`image` (h, w, 3) uint8 at exactly `mpp` µm/px; `scale` level-0 pixels per thumbnail pixel; `readable` (h, w)
    bool, False where the slide could not be decoded: nothing is drawn there and nothing is sought there.
    """

    image: np.ndarray
    mpp: Mpp
    scale: float
    readable: np.ndarray


def reduced(thumbnail: Thumbnail, *, mpp: Mpp) -> Thumbnail:
    """The same picture at `mpp` µm/px (or as it is, where it is coarser already), by area averaging; a pixel of the
    result is readable when all that went into it was.
    """
    ratio = mpp / thumbnail.mpp
    if ratio <= 1:
        return thumbnail
    height, width = (max(1, math.floor(extent / ratio)) for extent in thumbnail.readable.shape)
    box = (0.0, 0.0, min(width * ratio, thumbnail.image.shape[1]), min(height * ratio, thumbnail.image.shape[0]))
    image = Image.fromarray(thumbnail.image).resize((width, height), Image.Resampling.BOX, box=box)
    readable = Image.fromarray(thumbnail.readable.astype(np.uint8) * 255).resize(
        (width, height), Image.Resampling.BOX, box=box
    )
    return Thumbnail(np.asarray(image), mpp, thumbnail.scale * ratio, np.asarray(readable) == 255)


def read_thumbnail(info: SlideInfo, *, mpp: Mpp) -> Thumbnail:
    """Reduce the whole slide to `mpp` µm/px (never finer than level 0) by area averaging from the nearest finer level.

    A block that cannot be decoded is split in four until the damage is cornered; what remains is marked unreadable.

    Raises:
        SlideFault: more than a fifth of the slide cannot be decoded.
    """
    scale = max(1.0, mpp / info.mpp)
    level = max((k for k, f in enumerate(info.levels) if f <= scale * 1.001), key=lambda k: info.levels[k])
    reader = _BlockReader(info, level=level, ratio=scale / info.levels[level])
    width, height = (max(1, math.floor(extent / scale)) for extent in (info.width_px, info.height_px))
    image = np.zeros((height, width, 3), np.uint8)
    readable = np.ones((height, width), bool)
    step = max(1, math.floor(BLOCK_PX / reader.ratio))
    blocks = [
        (x, y, min(x + step, width), min(y + step, height))
        for y in range(0, height, step)
        for x in range(0, width, step)
    ]
    while blocks:
        left, top, right, bottom = block = blocks.pop()
        pixels = reader.block(block)
        if pixels is not None:
            image[top:bottom, left:right] = pixels
        elif max(right - left, bottom - top) * reader.ratio <= CORNERED_PX or max(right - left, bottom - top) == 1:
            readable[top:bottom, left:right] = False
        else:
            x, y = (left + right + 1) // 2, (top + bottom + 1) // 2
            quarters = ((left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom))
            blocks += [(a, b, c, d) for a, b, c, d in quarters if c > a and d > b]
    lost = 1 - float(readable.mean())
    if lost > UNREADABLE_SHARE_MAX:
        raise SlideFault(
            f"{lost:.0%} of {info.path.name} cannot be decoded.",
            "The file is damaged or truncated: copy it again from the scanner and compare the sizes.",
        )
    return Thumbnail(image, Mpp(info.mpp * scale), scale, readable)


class _BlockReader:
    """Blocks of the thumbnail, each from the pixels of one level; `ratio` level pixels per thumbnail pixel."""

    def __init__(self, info: SlideInfo, *, level: int, ratio: float) -> None:
        self.ratio = ratio
        self._path = os.fspath(info.path)
        self._level = level
        self._slide = openslide.OpenSlide(self._path)
        self._size = self._slide.level_dimensions[level]
        self._nominal = self._slide.level_downsamples[level]

    def block(self, block: tuple[int, int, int, int]) -> np.ndarray | None:
        """Left, top, right, bottom in thumbnail pixels -> (bottom - top, right - left, 3) uint8; None if
        undecodable.
        """
        left, top, right, bottom = (edge * self.ratio for edge in block)
        right, bottom = min(right, self._size[0]), min(bottom, self._size[1])
        x, y = math.floor(left), math.floor(top)
        size = (math.ceil(right) - x, math.ceil(bottom) - y)
        try:
            location = (round(x * self._nominal), round(y * self._nominal))
            region = opaque(self._slide.read_region(location, self._level, size), self._slide)
        except READ_ERRORS:
            self._slide = openslide.OpenSlide(self._path)  # after an error a handle stays dead
            return None
        shape = (block[2] - block[0], block[3] - block[1])
        return np.asarray(region.resize(shape, Image.Resampling.BOX, box=(left - x, top - y, right - x, bottom - y)))
