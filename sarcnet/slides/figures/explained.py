"""What notebook 01 shows: resolution, the search for tissue, the grid, and the same piece of glass at each
hospital.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from sarcnet.compendium.figures import PALETTE
from sarcnet.slides.overview import COLOURS, round_length
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.thumbnail import read_thumbnail
from sarcnet.slides.reader.units import Mpp, TilePx, Um
from sarcnet.slides.tiling import REASONS
from sarcnet.slides.tissue import find_tissue


def resolution_table(report: pd.DataFrame, *, tile_um: float, tile_px: int) -> pd.DataFrame:
    """One row for each scanner setting: what the slides call themselves, what a pixel measures, and what that does
    to a tile.

    Args:
        report: report of the slides, see :func:`sarcnet.slides.tabulate`.
        tile_um: side of a tile, µm.
        tile_px: side of a tile, pixels.

    Returns:
        One row per hospital, format, lens, µm/px and its source.
    """
    ok = report[report["status"] == "ok"].assign(objective_power=lambda t: t["objective_power"].fillna(0))
    keys = ["centre", "format", "objective_power", "mpp", "mpp_source"]
    table = ok.groupby(keys, as_index=False).agg(slides=("slide_id", "size"))
    power = table.pop("objective_power").map(lambda value: f"{value:g}x" if value else "not stated")
    table.insert(2, "calls itself", power)
    table[f"{tile_px} px at level 0, µm"] = tile_px * table["mpp"]
    table[f"{tile_um:g} µm at level 0, px"] = tile_um / table["mpp"]
    return table.rename(columns={"mpp": "µm/px", "mpp_source": "µm/px from"})


def example_slides(report: pd.DataFrame) -> pd.DataFrame:
    """For each centre the slide of median tissue area among those that are ok: neither the best nor the worst.

    Args:
        report: report of the slides.

    Returns:
        Rows of the report, one per centre.
    """
    ok = report[report["status"] == "ok"].sort_values(["centre", "tissue_mm2", "slide_id"])
    return ok.groupby("centre", sort=True).nth(ok.groupby("centre").size().min() // 2 if len(ok) else 0)


def draw_tissue_steps(path: Path, *, mpp: float, thumbnail_um_per_px: float) -> tuple[Figure, dict[str, float]]:
    """Four panels: thumbnail, optical density of green, what is above the threshold, what morphology makes of it.

    Args:
        path: slide file.
        mpp: its µm/px at level 0.
        thumbnail_um_per_px: µm/px of the picture in which tissue is searched.

    Returns:
        The figure; densities of the thresholds and shares of the slide.
    """
    handle, info = open_slide(path, mpp_override=mpp)
    handle.close()
    thumbnail = read_thumbnail(info, mpp=Mpp(thumbnail_um_per_px))
    mask = find_tissue(thumbnail)
    height, width = mask.tissue.shape
    figure, axes = plt.subplots(1, 4, figsize=(11, 0.6 + 2.6 * min(height / width, 1.4)))
    axes[0].imshow(thumbnail.image)
    axes[0].set_title(f"1. thumbnail, {thumbnail.mpp:g} µm/px")
    density = axes[1].imshow(mask.density, cmap="magma", vmin=0)
    axes[1].set_title("2. optical density of green")
    bar = figure.colorbar(density, ax=axes[1], shrink=0.8)
    bar.ax.axhline(mask.threshold, color="white", linewidth=2)
    bar.ax.axhline(mask.seed, color="white", linewidth=2, linestyle="--")
    axes[2].imshow(mask.stained, cmap="gray")
    axes[2].set_title(f"3. denser than {mask.threshold:.2f}, coloured")
    axes[3].imshow(thumbnail.image)
    axes[3].contour(mask.tissue, levels=[0.5], colors=[PALETTE[0]], linewidths=1.5)
    axes[3].set_title("4. tissue, cleaned")
    for axis in axes:
        axis.set_axis_off()
    _scale_bar(axes[0], mpp=thumbnail.mpp, width_px=width, height_px=height)
    facts = {"seed_od": mask.seed, "threshold_od": mask.threshold, "otsu_od": mask.otsu}
    facts["stained_share"] = float(mask.stained.mean())
    return figure, facts | {"tissue_share": float(mask.tissue.mean()), "um_per_px": float(thumbnail.mpp)}


def draw_overviews(examples: pd.DataFrame, *, folder: Path) -> tuple[Figure, pd.DataFrame]:
    """Figure F3: one slide of each centre with tissue outlined and the tile grid drawn on it, as kept for every
    slide.

    Args:
        examples: rows of the report, one per centre.
        folder: where `<slide_id>.png` of every slide lies.

    Returns:
        The figure; what became of the candidate tiles of these slides.
    """
    pictures = [Image.open(folder / f"{slide_id}.png") for slide_id in examples["slide_id"]]
    ratios = [picture.width / picture.height for picture in pictures]
    height = min(5.0, 11 / sum(ratios))  # inches
    figure, axes = plt.subplots(
        1, len(pictures), figsize=(max(4.0, height * sum(ratios)), height + 1.0), squeeze=False, width_ratios=ratios
    )
    for axis, picture, row in zip(axes[0], pictures, examples.itertuples(), strict=True):
        axis.imshow(picture)
        axis.set_title(f"{row.centre}: {row.n_kept} tiles on {row.tissue_mm2:.2f} mm² of tissue")
        axis.set_axis_off()
    present = [reason for reason in REASONS[1:] if examples[f"n_rejected_{reason}"].sum()]
    handles = [Patch(fill=False, edgecolor="black", label="tissue", linewidth=2)]
    handles += [
        Patch(fill=False, edgecolor=_colour(reason), label=reason or "kept tile", linewidth=2)
        for reason in ["", *present]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    columns = ["centre", "slide_id", "mpp", "tissue_mm2", "n_candidates", "n_kept"]
    return figure, examples[columns + [f"n_rejected_{reason}" for reason in REASONS]]


def draw_same_glass(
    examples: pd.DataFrame,
    tiles: pd.DataFrame,
    *,
    files: Mapping[str, Path],
    tile_um: float,
    tile_px: int,
    shown: int = 4,
) -> tuple[Figure, pd.DataFrame]:
    """Rows of tiles, one row a centre: `tile_um` µm of glass each, evenly picked over the slide's kept tiles.

    The dashed square is what the same number of pixels would show without a resample, straight from level 0.

    Args:
        examples: rows of the report, one per centre.
        tiles: kept tiles: slide_id, tile, x_px, y_px (level-0 pixels).
        files: slide_id -> slide file.
        tile_um: side of a tile, µm.
        tile_px: side of a tile, pixels.
        shown: tiles per centre.

    Returns:
        The figure; centre, slide, tile and µm/px of each picture.
    """
    figure, axes = plt.subplots(len(examples), shown, figsize=(2.5 * shown, 2.7 * len(examples)), squeeze=False)
    rows = []
    for line, row in zip(axes, examples.itertuples(), strict=True):
        kept = tiles[tiles["slide_id"] == row.slide_id]
        chosen = kept.iloc[np.linspace(0, len(kept) - 1, shown).round().astype(int)]
        handle, info = open_slide(files[row.slide_id], mpp_override=row.mpp)
        with TileReader(handle, info, plan(info, tile_um=Um(tile_um), tile_px=TilePx(tile_px))) as reader:
            for axis, tile in zip(line, chosen.itertuples(), strict=True):
                axis.imshow(reader.tile(tile.x_px, tile.y_px), extent=(0, tile_um, tile_um, 0))
                axis.set_xticks([])
                axis.set_yticks([])
                rows.append({"centre": row.centre, "slide_id": row.slide_id, "tile": tile.tile, "mpp": row.mpp})
        native = tile_px * row.mpp
        if native < 0.98 * tile_um:
            line[0].add_patch(
                Rectangle((0, 0), native, native, fill=False, edgecolor="black", linestyle="--", linewidth=1.5)
            )
        line[0].set_ylabel(f"{row.centre}\n{row.mpp:.4g} µm/px")
        _scale_bar(line[0], mpp=Mpp(1.0), width_px=tile_um, height_px=tile_um)
    return figure, pd.DataFrame(rows)


def _colour(reason: str) -> tuple[float, float, float]:
    red, green, blue = COLOURS[reason]
    return red / 255, green / 255, blue / 255


def _scale_bar(axis: Axes, *, mpp: Mpp, width_px: float, height_px: float) -> None:
    length = round_length(1.3 * width_px * mpp)
    left, bottom = 0.05 * width_px, 0.94 * height_px
    thick = 0.025 * height_px
    box = Rectangle((left, bottom - thick), length / mpp, thick, facecolor="black", edgecolor="white", linewidth=0.8)
    axis.add_patch(box)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    style = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}
    axis.text(left, bottom - 1.8 * thick, text, fontsize=8, va="bottom", bbox=style)
