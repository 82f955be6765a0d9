"""From a box of pixels, fractions included, to a tile: one Lanczos filter in each direction.

Lanczos is used because it low-passes at every ratio, also at 1.1, where a box filter takes now one, now two source
pixels and leaves a moiré in fine chromatin; against bicubic it keeps more of the nuclear border. It was most of the time
that a tile takes, so it is done by fast_image_resize (https://github.com/Cykooz/fast_image_resize), which uses the
processor's vector instructions, gives the same bytes whichever of them there are, and lets other threads run. Where
it has no package Pillow does the same: both cut what the filter overshoots after the first direction, and differ in
which is the first.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from sarcnet.slides.reader.units import LevelPx, TilePx

try:
    import cykooz_resizer
except ImportError:
    cykooz_resizer = None

RESAMPLED_BY = "Pillow" if cykooz_resizer is None else "fast_image_resize"
SUPPORT = 3  # source pixels that Lanczos looks at on each side, times the ratio

Box = tuple[LevelPx, LevelPx, LevelPx, LevelPx]
"""Left, top, right and bottom inside a decoded region, in its own pixels, fractions included."""


def resample(region: np.ndarray, box: Box, tile_px: TilePx) -> np.ndarray:
    """The fractional `box` of `region`, (height, width, 3) uint8, on (tile_px, tile_px, 3) uint8.

    The filter looks at pixels beyond the box where the region has them. A box that is the whole region, pixel for
    pixel, is handed back as it is.
    """
    if box == (0.0, 0.0, float(tile_px), float(tile_px)) and region.shape[:2] == (tile_px, tile_px):
        return region
    return with_pillow(region, box, tile_px) if cykooz_resizer is None else _with_vectors(region, box, tile_px)


def with_pillow(region: np.ndarray, box: Box, tile_px: TilePx) -> np.ndarray:
    """`resample` in plain C, which runs everywhere."""
    return np.asarray(Image.fromarray(region).resize((tile_px, tile_px), Image.Resampling.LANCZOS, box=box))


def _with_vectors(region: np.ndarray, box: Box, tile_px: TilePx) -> np.ndarray:
    height, width = region.shape[:2]
    left, top, right, bottom = box
    rgb = cykooz_resizer.PixelType.U8x3
    options = cykooz_resizer.ResizeOptions(
        resize_alg=cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.lanczos3),
        crop_box=cykooz_resizer.CropBox(left, top, _within(left, right, width), _within(top, bottom, height)),
    )
    tile = cykooz_resizer.ImageData(tile_px, tile_px, rgb)
    cykooz_resizer.Resizer().resize(cykooz_resizer.ImageData(width, height, rgb, region.tobytes()), tile, options)
    return np.frombuffer(tile.get_buffer(), np.uint8).reshape(tile_px, tile_px, 3)


def _within(start: float, end: float, extent: int) -> float:
    """end - start, so that start plus it is not rounded to beyond `extent`."""
    length = end - start
    return length if start + length <= extent else math.nextafter(length, 0.0)
