"""A viewer of one explained slide: pan, zoom, heat map with opacity and threshold, the tile under the pointer in numbers.

It is one HTML page that needs neither network nor kernel: the slide is in it as a pyramid of small JPEG tiles, as fine as a
stated number of bytes allows. A notebook shows the page in a frame of its own, so the page works in JupyterLab, in what
nbconvert exports, and as a file. Under papermill a figure takes its place, since nobody can turn a picture there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sarcnet.compendium import figures
from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.export.heatmap import COLOURS, HeatMap, coloured, draw_covered
from sarcnet.interpret.export.pages import json_block, page_frame, render, somebody_watches, write_page
from sarcnet.interpret.export.picture_pyramid import build_pyramid
from sarcnet.interpret.export.qupath import NUMBERS, SlideExport
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.overview import round_length

NOTEBOOK_BYTES = 1_300_000  # of a page inside a notebook; quoting it for the frame adds a little
FILE_BYTES = 12_000_000  # of a page that is a file of its own
TILES_SHARE = 0.4  # of the bytes that numbers of tiles may take; the rest is for the picture
DIGITS = 3  # significant, of a number shown for a tile
SHADES = 33  # of the colour scale
PLACE = ("x_px", "y_px", "contribution")


def make_page(
    tiles: pd.DataFrame,
    *,
    file: Path,
    geometry: TileGeometry,
    limit: float,
    title: str,
    note: str,
    columns: Mapping[str, str] | None = None,
    bytes_max: int = NOTEBOOK_BYTES,
) -> str:
    """The page of one slide as HTML of at most about `bytes_max` bytes.

    Args:
        tiles: of this slide: tile, x_px, y_px (level-0 corner), contribution (log-odds) and `columns`.
        file: the slide.
        geometry: where its tiles lie.
        limit: contribution at which the colours end, either way.
        title, note: above the picture, for example the patient, and "Simulated data".
        columns: numbers or words shown for the tile under the pointer: column to name, unit included. Left out where not in
            `tiles`.
        bytes_max: when it does not hold all tiles, those of smallest contribution are left out, and the page says so.

    Raises:
        SarcnetError: there is no tile, or a tile has no place or no contribution.
        SlideFault: the slide cannot be read.
    """
    lacking = [name for name in PLACE if name not in tiles or not np.isfinite(tiles[name].to_numpy(float)).all()]
    if lacking or not len(tiles):
        raise SarcnetError(
            f"The viewer needs tiles, each with {', '.join(lacking or PLACE)}: run 06_interpretability again."
        )
    shown = {column: name for column, name in (columns or {}).items() if column in tiles}
    order = tiles["contribution"].abs().sort_values(ascending=False, kind="stable").index
    table = tiles.loc[order, ["x_px", "y_px", "tile", "contribution", *shown]]
    rows, room = [], bytes_max * TILES_SHARE
    for values in table.itertuples(index=False):
        row = [_short(value) for value in values]
        room -= len(json_block(row)) + 1
        if room < 0:
            break
        rows.append(row)
    data = {
        "title": title,
        "note": note,
        "mpp": geometry.mpp,
        "side": geometry.size_px,
        "limit": limit,
        "shades": coloured(np.linspace(-limit, limit, SHADES)[None], limit=limit, opacity=1.0)[0, :, :3].tolist(),
        "columns": ["tile", "contribution (log-odds)", *shown.values()],
        "absent": len(tiles) - len(rows),
        "tiles": rows,
    }
    rest = bytes_max - len(_page(data))
    pyramid = build_pyramid(file, mpp=geometry.mpp, bytes_max=max(rest, bytes_max // 3))
    levels = [
        {"scale": level.scale, "width": level.width, "height": level.height, "urls": level.urls}
        for level in pyramid.levels
    ]
    size = {"width": pyramid.info.width_px, "height": pyramid.info.height_px, "finest": pyramid.finest_mpp}
    return _page(data | size | {"levels": levels})


def _page(data: Mapping[str, object]) -> str:
    return render("sarcnet.interpret.export", "viewer.html", data=json_block(data))


def _short(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return int(value) if float(value).is_integer() else float(f"{value:.{max(DIGITS, len(str(int(abs(value)))))}g}")
    return value if isinstance(value, int) else str(value)


def write_viewer(path: Path, slide: SlideExport, *, note: str, bytes_max: int = NOTEBOOK_BYTES) -> Path:
    """Write the viewer of an exported slide as a page that opens in any browser.

    Args:
        path: the HTML file.
        slide: one of `write_slide_exports`.
        note: stands above the picture, for example "Simulated data".
        bytes_max: of the page.

    Returns:
        The path.

    Raises:
        SlideFault: the slide cannot be read.
    """
    page = make_page(
        slide.tiles, file=slide.file, geometry=slide.geometry, limit=slide.heatmap.limit, title=_title(slide),
        note=note, columns=NUMBERS, bytes_max=bytes_max,
    )  # fmt: skip
    return write_page(path, page)


def show_viewer(path: Path, slide: SlideExport, *, note: str) -> None:
    """Write the viewer of an exported slide and show it: the page itself in an interactive notebook, and in a headless
    run, where nobody can turn a picture, the figure that the page shows first.

    Args:
        path: the HTML file, written as by `write_viewer` with the size of a page inside a notebook.
        slide: one of `write_slide_exports`.
        note: stands above the picture and in the caption, for example "Simulated data".

    Raises:
        SlideFault: the slide cannot be read.
    """
    page = write_viewer(path, slide, note=note)
    if somebody_watches():
        display(page_frame(page, title="slide viewer"))
        return
    caption = f"{_title(slide)}: contribution of each tile to the score, as the viewer shows it first. {note}."
    figures.show(static_picture(slide.heatmap, note=note), caption=caption)


def _title(slide: SlideExport) -> str:
    return slide.heatmap.title.replace("\n", ", ")


def static_picture(heatmap: HeatMap, *, note: str) -> Figure:
    """What the viewer shows first, as a figure: the slide under its heat map, with scale bar, legend and `note`."""
    limit, (height, width) = heatmap.limit, heatmap.values.shape
    figure, ax = plt.subplots(figsize=(6.4, min(8.0, 0.9 + 5.2 * height / width)))
    draw_covered(ax, heatmap, limit=limit, bar_um=round_length(width * heatmap.mpp))
    ax.set_title(heatmap.title, fontsize="small")
    mappable = ScalarMappable(norm=Normalize(-limit, limit), cmap=COLOURS)
    label = "contribution of a tile (log-odds)"
    figure.colorbar(mappable, ax=ax, label=label, shrink=0.6, extend="both")
    figures.mark(figure, note)
    return figure
