"""The picture of a slide that a pathologist checks: tissue outlined, the tile grid drawn on it, a scale bar."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from sarcnet.slides.reader.grid import Grid
from sarcnet.slides.reader.opening import SlideInfo
from sarcnet.slides.reader.thumbnail import Thumbnail, reduced
from sarcnet.slides.reader.units import Mpp, Um
from sarcnet.slides.tissue import TissueMask

LONG_SIDE_PX = 900
OUTLINE = (0, 0, 0)
FONT = "DejaVuSans.ttf"  # comes with matplotlib; PIL's own font has no µ
COLOURS = {  # Okabe-Ito, safe for colour-blind readers
    "": (0, 114, 178),
    "background": (190, 190, 190),
    "pen": (240, 228, 66),
    "fold": (204, 121, 167),
    "unreadable": (0, 0, 0),
    "blank": (86, 180, 233),
    "blurred": (213, 94, 0),
}


def overview_mpp(info: SlideInfo) -> Mpp:
    """Resolution at which the slide's longer side fills the picture (never finer than the slide itself), or that of a
    pyramid level which comes near: reading a level as it is takes a quarter of the time.
    """
    long_side = max(info.width_px, info.height_px)
    near = [factor for factor in info.levels if LONG_SIDE_PX / 1.5 <= long_side / factor <= LONG_SIDE_PX]
    return Mpp(info.mpp * min(near, default=max(1.0, long_side / LONG_SIDE_PX)))


def draw_overview(
    picture_of: Thumbnail, info: SlideInfo, *, mask: TissueMask, scale: float, grid: Grid, reasons: np.ndarray
) -> Image.Image:
    """Slide with the tissue's outline (black), kept tiles (blue), tiles left out in tissue (by reason) and a scale
    bar.

    Args:
        picture_of: the slide, at `overview_mpp` or finer.
        info: the slide's facts.
        mask: tissue at `scale` level-0 pixels per mask pixel.
        scale: see mask.
        grid: all candidate tiles.
        reasons: (n,) why each tile was left out, "" where it was kept.
    """
    thumbnail = reduced(picture_of, mpp=overview_mpp(info))
    picture = Image.fromarray(thumbnail.image)
    draw = ImageDraw.Draw(picture)
    per_px = thumbnail.scale  # level-0 pixels per picture pixel
    line = 2 if grid.size_px / per_px > 12 else 1
    for reason in ("pen", "fold", "unreadable", "blank", "blurred", ""):
        for x, y in zip(grid.x_px[reasons == reason], grid.y_px[reasons == reason], strict=True):
            box = (x / per_px, y / per_px, (x + grid.size_px) / per_px - 1, (y + grid.size_px) / per_px - 1)
            draw.rectangle(box, outline=COLOURS[reason], width=line)
    for contour in find_contours(np.pad(mask.tissue, 1).astype(float), 0.5):
        points = [((x - 0.5) * scale / per_px, (y - 0.5) * scale / per_px) for y, x in contour]
        draw.line(points, fill=OUTLINE, width=3)
    _scale_bar(draw, picture.size, thumbnail.mpp)
    return picture


def round_length(width_um: float) -> Um:
    """A round length (1, 2 or 5 times a power of ten) of about a fifth of `width_um`, for a scale bar."""
    target = width_um / 5
    power = 10 ** math.floor(math.log10(target))
    return Um(max(step * power for step in (1, 2, 5) if step * power <= target))


def _scale_bar(draw: ImageDraw.ImageDraw, size: tuple[int, int], mpp: Mpp) -> None:
    width, height = size
    length = round_length(width * mpp)
    label = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    font = ImageFont.truetype(font_file(), 18)
    left, bottom = 14, height - 14
    right = left + length / mpp
    box = (left - 8, bottom - 36, max(right, left + draw.textlength(label, font=font)) + 8, bottom + 8)
    draw.rectangle(box, fill=(255, 255, 255))
    draw.rectangle((left, bottom - 5, right, bottom), fill=(0, 0, 0))
    draw.text((left, bottom - 8), label, fill=(0, 0, 0), font=font, anchor="lb")


def font_file() -> str:
    """Found without importing matplotlib, which would be most of the time that a worker takes to start."""
    spec = find_spec("matplotlib")
    folders = spec.submodule_search_locations if spec else None
    return str(Path((folders or [""])[0], "mpl-data", "fonts", "ttf", FONT))
