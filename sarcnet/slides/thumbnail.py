"""One small picture of the whole slide, read block by block so that memory stays flat however large the slide is."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import openslide
from PIL import Image

from sarcnet.slides.opening import READ_ERRORS, SlideFault, SlideInfo
from sarcnet.slides.reading import opaque
from sarcnet.slides.units import Mpp

BLOCK_PX = 2048  # side of a block in pixels of the level that is decoded
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

    Raises:
        SlideFault: more than a fifth of the slide cannot be decoded.
    """
    slide = openslide.OpenSlide(os.fspath(info.path))
    scale = max(1.0, mpp / info.mpp)
    level = max((k for k, f in enumerate(info.levels) if f <= scale * 1.001), key=lambda k: info.levels[k])
    factor = info.levels[level]
    ratio = scale / factor  # level pixels per thumbnail pixel
    width, height = (max(1, math.floor(extent / scale)) for extent in (info.width_px, info.height_px))
    image = np.zeros((height, width, 3), np.uint8)
    readable = np.ones((height, width), bool)
    step = max(1, math.floor(BLOCK_PX / ratio))
    level_size, nominal = slide.level_dimensions[level], slide.level_downsamples[level]
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(top + step, height), min(left + step, width)
            box = (left * ratio, top * ratio, min(right * ratio, level_size[0]), min(bottom * ratio, level_size[1]))
            x, y = math.floor(box[0]), math.floor(box[1])
            size = (math.ceil(box[2]) - x, math.ceil(box[3]) - y)
            try:
                region = opaque(slide.read_region((round(x * nominal), round(y * nominal)), level, size), slide)
            except READ_ERRORS:
                readable[top:bottom, left:right] = False
                slide.close()  # after an error a handle stays dead
                slide = openslide.OpenSlide(os.fspath(info.path))
                continue
            inside = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
            block = region.resize((right - left, bottom - top), Image.Resampling.BOX, box=inside)
            image[top:bottom, left:right] = np.asarray(block)
    slide.close()
    lost = 1 - float(readable.mean())
    if lost > UNREADABLE_SHARE_MAX:
        raise SlideFault(
            f"{lost:.0%} of {info.path.name} cannot be decoded.",
            "The file is damaged or truncated: copy it again from the scanner and compare the sizes.",
        )
    return Thumbnail(image, Mpp(info.mpp * scale), scale, readable)
