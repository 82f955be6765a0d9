"""A viewer of one explained slide: pan, zoom, heat map with opacity and threshold, the tile under the pointer in numbers.

It is one HTML page that needs neither network nor kernel: the slide is in it as a pyramid of small JPEG tiles, as fine as a
stated number of bytes allows. A notebook shows the page in a frame of its own, so the page works in JupyterLab, in what
nbconvert exports, and as a file. Under papermill a figure takes its place, since nobody can turn a picture there.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, DisplayObject, display
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sarcnet.compendium import figures
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.progress import headless
from sarcnet.interpret.export.heatmap import HeatMap
from sarcnet.interpret.export.overlay import COLOURS, coloured
from sarcnet.interpret.export.picture_pyramid import build_pyramid
from sarcnet.interpret.export.viewer_page import PAGE
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.overview import round_length

NOTEBOOK_BYTES = 1_300_000  # of a page inside a notebook; quoting it for the frame adds a little
FILE_BYTES = 12_000_000  # of a page that is a file of its own
TILES_SHARE = 0.4  # of the bytes that numbers of tiles may take; the rest is for the picture
HEIGHT_PX = 640
DIGITS = 3  # significant, of a number shown for a tile
SHADES = 33  # of the colour scale
HERE = ("x_px", "y_px", "contribution")


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
    lacking = [name for name in HERE if name not in tiles or not np.isfinite(tiles[name].to_numpy(float)).all()]
    if lacking or not len(tiles):
        raise SarcnetError(
            f"The viewer needs tiles, each with {', '.join(lacking or HERE)}: run 06_interpretability again."
        )
    shown = {column: name for column, name in (columns or {}).items() if column in tiles}
    kept = list(_fitting(_rows(tiles, columns=list(shown)), bytes_max=int(bytes_max * TILES_SHARE)))
    used = sum(map(len, kept))
    pyramid = build_pyramid(file, mpp=geometry.mpp, bytes_max=max(bytes_max - used - len(PAGE), bytes_max // 3))
    data = {
        "title": title,
        "note": note,
        "mpp": geometry.mpp,
        "width": pyramid.info.width_px,
        "height": pyramid.info.height_px,
        "finest": pyramid.finest_mpp,
        "levels": [
            {"scale": level.scale, "width": level.width, "height": level.height, "urls": level.urls}
            for level in pyramid.levels
        ],
        "side": geometry.size_px,
        "limit": limit,
        "shades": coloured(np.linspace(-limit, limit, SHADES)[None], limit=limit, opacity=1.0)[0, :, :3].tolist(),
        "columns": ["tile", "contribution (log-odds)", *shown.values()],
        "absent": len(tiles) - len(kept),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))[:-1] + ',"tiles":[' + ",".join(kept) + "]}"
    return PAGE.replace("/*DATA*/", text.replace("<", "\\u003c"))


def _rows(tiles: pd.DataFrame, *, columns: list[str]) -> Iterator[str]:
    """JSON of each tile, [x, y, tile, contribution, …], largest contribution first."""
    order = tiles["contribution"].abs().sort_values(ascending=False, kind="stable").index
    table = tiles.loc[order, ["x_px", "y_px", "tile", "contribution", *columns]]
    for row in table.itertuples(index=False):
        yield json.dumps([_short(value) for value in row], separators=(",", ":"))


def _short(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return int(value) if float(value).is_integer() else float(f"{value:.{max(DIGITS, len(str(int(abs(value)))))}g}")
    return value if isinstance(value, int) else str(value)


def _fitting(rows: Iterator[str], *, bytes_max: int) -> Iterator[str]:
    left = bytes_max
    for row in rows:
        left -= len(row) + 1
        if left < 0:
            return
        yield row


def write_page(path: Path, page: str) -> Path:
    """Keep a page as a file that opens in any browser."""
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def in_notebook(page: str, *, height_px: int = HEIGHT_PX) -> HTML:
    """The page in a frame: neither its style nor its script touches the notebook around it."""
    quoted = html.escape(page, quote=True)
    style = "width:100%;box-sizing:border-box;border:1px solid #ccc"
    return _Frame(f'<iframe srcdoc="{quoted}" height="{height_px}" style="{style}" title="slide viewer"></iframe>')


class _Frame(HTML):
    """HTML that means its frame; IPython's own class would warn that it prefers a link, which cannot hold a page."""

    def __init__(self, data: str) -> None:
        DisplayObject.__init__(self, data)


def static_picture(heatmap: HeatMap, *, limit: float, note: str) -> Figure:
    """What the viewer shows first, as a figure: the slide under its heat map, with scale bar, legend and `note`."""
    height, width = heatmap.values.shape
    figure, ax = plt.subplots(figsize=(6.4, min(8.0, 0.9 + 5.2 * height / width)))
    ax.imshow(heatmap.picture)
    ax.imshow(coloured(heatmap.values, limit=limit))
    ax.set_title(heatmap.title, fontsize="small")
    ax.axis("off")
    length_um = round_length(width * heatmap.mpp)
    left, y = 0.03 * width, 0.96 * height
    ax.plot([left, left + length_um / heatmap.mpp], [y, y], color="black", linewidth=3, solid_capstyle="butt")
    ax.text(left, y - 0.015 * height, f"{length_um:g} µm", va="bottom", fontsize="small")
    mappable = ScalarMappable(norm=Normalize(-limit, limit), cmap=COLOURS)
    label = "contribution of a tile (log-odds)"
    figure.colorbar(mappable, ax=ax, label=label, shrink=0.6, extend="both")
    figures.mark(figure, note)
    return figure


def show(page: str, *, instead: Figure, caption: str, height_px: int = HEIGHT_PX) -> None:
    """Show the page in an interactive notebook, and the figure `instead` with its caption in a headless run."""
    if headless():
        figures.show(instead, caption=caption)
    else:
        display(in_notebook(page, height_px=height_px))
        plt.close(instead)
