"""Contributions laid over the picture of the slide: each tile's value where the tile lies, to the pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from PIL import Image

from sarcnet.interpret.attribution.contributions import Explanation
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.overview import overview_mpp
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.thumbnail import Thumbnail, read_thumbnail, reduced
from sarcnet.slides.reader.units import Mpp
from sarcnet.slides.tissue import find_tissue

TISSUE_MPP = 8.0  # as notebook 01 does by default
COLOURS, OPACITY = "RdBu_r", 0.6  # red raises the score, blue lowers it; told apart by colour-blind people


@dataclass(frozen=True)
class HeatMap:
    """Picture of a slide (h, w, 3) uint8 at `mpp` µm/px, and the contribution of the tile over each pixel (h, w).

    NaN where there is no tile that the model saw: nothing is interpolated or smoothed. Colours end at ± `limit` (log-odds).
    `tissue` (h, w) bool, the mask that notebook 01 finds.
    """

    slide_id: str
    title: str
    picture: np.ndarray
    mpp: Mpp
    values: np.ndarray
    limit: float
    tissue: np.ndarray | None = None


def colour_limit(*values: np.ndarray) -> float:
    """Contribution at which the colours of all these heat maps (h, w) end, either way: that of 98 % of the tiled area; 1
    where there is none.
    """
    sizes = np.abs(np.concatenate([np.zeros(0), *(part[np.isfinite(part)] for part in values)]))
    limit = float(np.quantile(sizes, 0.98)) if len(sizes) else 0.0
    return limit if limit > 0 else 1.0


def coloured(values: np.ndarray, *, limit: float, opacity: float = OPACITY) -> np.ndarray:
    """(h, w, 4) uint8 RGBA of values (h, w): red raises, blue lowers, full colour at ± limit, transparent where NaN."""
    colours = mpl.colormaps[COLOURS](Normalize(-limit, limit)(np.nan_to_num(values)))
    colours[..., 3] = np.isfinite(values) * opacity
    return np.round(colours * 255).astype(np.uint8)


def draw_covered(ax: Axes, heatmap: HeatMap, *, limit: float, bar_um: float) -> None:
    """The slide under its colours, which end at ± `limit`, with the outline of the tissue and a bar of `bar_um` µm."""
    ax.imshow(heatmap.picture)
    ax.imshow(coloured(heatmap.values, limit=limit))
    if heatmap.tissue is not None and heatmap.tissue.any() and not heatmap.tissue.all():
        ax.contour(heatmap.tissue, levels=[0.5], colors="black", linewidths=0.6)
    (height, width), length = heatmap.values.shape, bar_um / heatmap.mpp
    left, y = 0.04 * width, 0.95 * height
    ax.plot([left, left + length], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    ax.text(left + length / 2, y - 0.02 * height, f"{bar_um:g} µm", ha="center", va="bottom", fontsize="x-small")
    ax.axis("off")


def place_values(tiles: pd.DataFrame, *, shape: tuple[int, int], scale: float, size_px: float) -> np.ndarray:
    """(h, w) float64: `contribution` of the tile that covers each pixel, NaN elsewhere; their mean where tiles overlap.

    Args:
        tiles: x_px, y_px (level-0 corner) and contribution.
        shape: height and width of the picture in pixels.
        scale: level-0 pixels per picture pixel.
        size_px: side of a tile in level-0 pixels.
    """
    corner = tiles[["x_px", "y_px"]].to_numpy(float)
    # Both edges are rounded by the same rule, so neighbours share an edge and leave neither gap nor overlap.
    near, far = (np.rint(edge / scale).astype(int).clip(0, shape[::-1]) for edge in (corner, corner + size_px))
    wide, high = (far - near).T
    area = wide * high
    which = np.repeat(np.arange(len(tiles)), area)  # the tile over each covered pixel, tile by tile
    within = np.arange(area.sum()) - np.repeat(area.cumsum() - area, area)
    row, column = near[which, 1] + within // wide[which], near[which, 0] + within % wide[which]
    pixel, size = row * shape[1] + column, shape[0] * shape[1]
    count = np.bincount(pixel, minlength=size).reshape(shape)
    total = np.bincount(pixel, weights=tiles["contribution"].to_numpy(float)[which], minlength=size).reshape(shape)
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def make_heatmap(tiles: pd.DataFrame, *, file: Path, geometry: TileGeometry, title: str) -> HeatMap:
    """Heat map of one slide. tiles: those of this slide, as in `Explanation.tiles`."""
    handle, info = open_slide(file, mpp_override=geometry.mpp)
    handle.close()
    thumbnail = read_thumbnail(info, mpp=overview_mpp(info))
    shape = (thumbnail.image.shape[0], thumbnail.image.shape[1])
    values = place_values(tiles, shape=shape, scale=thumbnail.scale, size_px=geometry.size_px)
    slide_id, limit = str(tiles["slide_id"].iloc[0]), colour_limit(values)
    return HeatMap(slide_id, title, thumbnail.image, thumbnail.mpp, values, limit, _tissue(thumbnail))


def on_one_scale(maps: Sequence[HeatMap]) -> list[HeatMap]:
    """The same heat maps with one limit of the colours, that of all of them together."""
    limit = colour_limit(*(item.values for item in maps))
    return [replace(item, limit=limit) for item in maps]


def patient_heatmaps(
    explained: Explanation,
    *,
    files: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    count: int,
    horizon_months: float,
) -> tuple[pd.DataFrame, dict[str, HeatMap]]:
    """Heat maps of the patients with the highest and the lowest image score in each hospital, all on one colour scale.

    Args:
        explained: all patients of the training series, their scores taken apart.
        files: slides by slide_id.
        geometry: where the tiles lie, by slide_id.
        count: patients at each end, for each hospital.
        horizon_months: of the evaluated risk in the title.

    Returns:
        The patients, rows of `Explanation.patients` with `end` ("high" or "low"), and the heat map of each patient's main
        slide by patient_id, in the order of the rows.

    Raises:
        SlideFault: a slide cannot be read.
    """
    patients, maps = ends_of_image_score(explained.patients, count=count), []
    for _, patient in patients.iterrows():
        tiles = explained.tiles[explained.tiles["patient_id"] == patient["patient_id"]]
        slide_id = main_slide(tiles)
        title = patient_title(patient, tiles=tiles, slide_id=slide_id, horizon_months=horizon_months)
        on_slide = tiles[tiles["slide_id"] == slide_id]
        maps.append(make_heatmap(on_slide, file=files[slide_id], geometry=geometry[slide_id], title=title))
    return patients, dict(zip(patients["patient_id"], on_one_scale(maps), strict=True))


def _tissue(thumbnail: Thumbnail) -> np.ndarray:
    """(h, w) bool on the picture, found at the resolution at which tissue is sought."""
    small = find_tissue(reduced(thumbnail, mpp=Mpp(TISSUE_MPP))).tissue
    shape = (thumbnail.image.shape[1], thumbnail.image.shape[0])
    return np.asarray(Image.fromarray(small).resize(shape, Image.Resampling.NEAREST))


def ends_of_image_score(patients: pd.DataFrame, *, count: int) -> pd.DataFrame:
    """For each hospital the `count` patients of highest and of lowest image score, as rows with `end` high or low.

    patients: `Explanation.patients`. Only patients with tiles take part; a hospital with fewer than two of them shows
    what it has. Ties go by patient_id.
    """
    chosen = []
    for _, rows in patients[patients["n_tiles"] > 0].groupby("centre", sort=True):
        ordered = rows.sort_values(["image", "patient_id"], ascending=[False, True])
        high = ordered.head(min(count, -(-len(ordered) // 2)))
        low = ordered.iloc[len(high) :].tail(count).iloc[::-1]
        chosen += [high.assign(end="high"), low.assign(end="low")]
    return pd.concat(chosen, ignore_index=True) if chosen else patients.iloc[:0].assign(end="")


def main_slide(tiles: pd.DataFrame) -> str:
    """slide_id of the slide with most tiles; the first by name where several have as many. tiles: of one patient."""
    counts = tiles.groupby("slide_id").size()
    return str(counts.idxmax())


def patient_title(patient: pd.Series, *, tiles: pd.DataFrame, slide_id: str, horizon_months: float) -> str:
    """Three short lines for a heat map: who, the evaluated risk, and what the image added to the score."""
    slides = sorted(tiles["slide_id"].unique())
    which = f", slide {slides.index(slide_id) + 1} of {len(slides)}" if len(slides) > 1 else ""
    text = (
        f"{patient['patient_id']} ({patient['centre']}{which})\n"
        f"{horizon_months / 12:g}-year risk {patient['risk']:.0%}\n"
        f"image {patient['image']:+.2f}, clinic {patient['clinical']:+.2f}"
    )
    return text.replace(" -", " −")
