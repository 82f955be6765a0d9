"""Do the levels of a slide's pyramid show the same tissue?

Tissue is sought on a coarse level and tiles are read from a fine one. A file put together from two scans, or with
levels out of order, opens without complaint and then gives tiles that are not where the tissue was found. The mean
colour of a tile must be that of its place on the thumbnail; one tile for which it is settles the matter, so that a good
slide costs one more tile.
"""

from __future__ import annotations

import numpy as np

from sarcnet.slides.reader.grid import Grid
from sarcnet.slides.reader.opening import SlideFault, SlideInfo, open_slide
from sarcnet.slides.reader.reading import ReadPlan, TileReader, UnreadableTile
from sarcnet.slides.reader.thumbnail import Thumbnail
from sarcnet.slides.reader.units import Level0Px

LOOKED_AT = 5
DIFFERENCE_MAX = 25.0
"""Grey levels. Compression and resampling change a tile's mean by 1 or 2, glass and tissue are 40 or more apart."""


def check_pyramid(info: SlideInfo, read_plan: ReadPlan, thumbnail: Thumbnail, grid: Grid, *, kept: np.ndarray) -> None:
    """Compare kept tiles, as they will be read, with the thumbnail, until one agrees or five do not.

    Args:
        info: the slide.
        read_plan: how its tiles are read.
        thumbnail: where tissue was sought.
        grid: all candidate tiles.
        kept: (k,) rows of the grid that passed.

    Raises:
        SlideFault: none of them agrees.
    """
    if len(info.levels) == 1 or len(kept) == 0:
        return
    rows = kept[np.unique(np.linspace(0, len(kept) - 1, LOOKED_AT).round().astype(int))]
    handle, _ = open_slide(info.path, mpp_override=info.mpp)
    least = np.inf
    with TileReader(handle, info, read_plan) as reader:
        for row in rows:
            x, y = Level0Px(float(grid.x_px[row])), Level0Px(float(grid.y_px[row]))
            place = _place(thumbnail, x, y, float(grid.size_px))
            try:
                tile = reader.tile(x, y)
            except UnreadableTile:
                continue
            least = min(least, float(np.abs(tile.mean((0, 1)) - place.mean((0, 1))).max()))
            if least <= DIFFERENCE_MAX:
                return
    if np.isfinite(least):
        raise SlideFault(
            f"The pyramid of {info.path.name} is wrong: its levels show different pictures (tiles and thumbnail differ "
            f"by {least:.0f} grey levels or more).",
            "The file was put together wrongly: export it again from the scanner's software.",
        )


def _place(thumbnail: Thumbnail, x_px: float, y_px: float, size_px: float) -> np.ndarray:
    """What the thumbnail shows of a tile, at least one pixel of it."""
    left, top = int(x_px / thumbnail.scale), int(y_px / thumbnail.scale)
    side = max(1, round(size_px / thumbnail.scale))
    return thumbnail.image[top : top + side, left : left + side]  # (h, w, 3)
