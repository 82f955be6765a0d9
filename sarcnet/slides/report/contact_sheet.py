"""All slides of a hospital on one sheet, as they were tiled: what finds in a minute the slide that went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from sarcnet.compendium.files import atomic_path
from sarcnet.slides.overview import font_file

CELL_PX, MARGIN_PX, HEAD_PX, TEXT_PX, COLUMNS = 180, 8, 28, 13, 8
FAILED, PAPER, INK = (236, 214, 214), (255, 255, 255), (0, 0, 0)


def write_contact_sheets(
    report: pd.DataFrame, *, thumbnails: Path, output: Callable[[str], Path], data_kind: str | None
) -> list[Path]:
    """Write `contact_sheet_<centre>.png` for every centre.

    Args:
        report: slide_id, centre, status, n_kept of every slide.
        thumbnails: folder with `<slide_id>.png` of those that are ok.
        output: name -> path, for example `stage.output`.
        data_kind: "simulated", "public" or "private", said on every sheet.

    Returns:
        Paths of the sheets, by centre.
    """
    written = []
    for centre, slides in report.groupby("centre", sort=True):
        path = output(f"contact_sheet_{centre}.png")
        with atomic_path(path) as part:
            title = f"{centre}: {len(slides)} slides, {data_kind or 'unknown'} data"
            contact_sheet(slides, thumbnails=thumbnails, title=title).quantize(128).save(
                part, format="PNG", compress_level=1
            )
        written.append(path)
    return written


def contact_sheet(slides: pd.DataFrame, *, thumbnails: Path, title: str) -> Image.Image:
    """Slides by their name, each with the number of its tiles, or as an empty field that says that it failed."""
    columns = min(COLUMNS, max(1, len(slides)))
    rows = -(-len(slides) // columns)
    wide, high = CELL_PX + MARGIN_PX, CELL_PX + 2 * TEXT_PX + MARGIN_PX
    sheet = Image.new("RGB", (columns * wide + MARGIN_PX, rows * high + HEAD_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(font_file(), TEXT_PX - 2)
    draw.text((MARGIN_PX, MARGIN_PX), title, fill=INK, font=font)
    for k, slide in enumerate(slides.sort_values("slide_id").itertuples()):
        left, top = MARGIN_PX + k % columns * wide, HEAD_PX + k // columns * high
        if slide.status == "ok":
            picture = _small(thumbnails / f"{slide.slide_id}.png")
            sheet.paste(picture, (left + (CELL_PX - picture.width) // 2, top + (CELL_PX - picture.height) // 2))
        else:
            draw.rectangle((left, top, left + CELL_PX, top + CELL_PX), fill=FAILED)
        said = f"{slide.n_kept:,} tiles" if slide.status == "ok" else "failed, see the report"
        for line, text in enumerate((slide.slide_id, said)):
            draw.text((left, top + CELL_PX + 1 + line * TEXT_PX), text, fill=INK, font=font)
    return sheet


def _small(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        small = picture.convert("RGB").reduce(max(1, max(picture.size) // CELL_PX))
    small.thumbnail((CELL_PX, CELL_PX), Image.Resampling.BILINEAR)
    return small
