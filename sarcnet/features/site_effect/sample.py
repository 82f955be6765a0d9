"""A sample of every slide's tiles, with their features and as they look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from sarcnet.features.identity import Extraction
from sarcnet.features.store import read_features
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um


def sample_features(
    folder: Path, done: pd.DataFrame, report: pd.DataFrame, *, per_slide: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Up to `per_slide` tiles of every slide, evenly picked, so that no slide dominates the picture.

    Args:
        folder: the feature files, `<slide_id>.h5`.
        done: slides that have one (slide_id).
        report: about each slide: slide_id, patient_id, centre, mpp (µm/px of level 0).
        per_slide: number of tiles per slide.

    Returns:
        A table (slide_id, patient_id, centre, mpp, x_px, y_px), one row per tile, and their features (n, d) float32.
    """
    about = report.set_index("slide_id")
    parts, features = [], []
    for slide_id in done["slide_id"]:
        file = read_features(folder / f"{slide_id}.h5")
        rows = np.unique(np.linspace(0, len(file.coords) - 1, per_slide).round().astype(int))
        part = pd.DataFrame(file.coords[rows], columns=["x_px", "y_px"])
        parts.append(part.assign(slide_id=slide_id, **about.loc[slide_id, ["patient_id", "centre", "mpp"]].to_dict()))
        features.append(file.features[rows].astype(np.float32))
    return pd.concat(parts, ignore_index=True), np.concatenate(features)


def place_tiles(
    axis: Axes,
    table: pd.DataFrame,
    scores: np.ndarray,
    *,
    files: Mapping[str, Path],
    extraction: Extraction,
    side: int = 8,
) -> None:
    """Draw tiles at their places on a plane: for each cell of a `side` x `side` grid, the tile nearest to its middle.

    Args:
        axis: where to draw.
        table: n tiles: slide_id, mpp, x_px, y_px.
        scores: (n, 2) place of each tile on the plane.
        files: slide_id -> slide file.
        extraction: size of the tiles.
        side: number of cells along each axis.
    """
    low, high = scores.min(axis=0), scores.max(axis=0)
    places = (scores - low) / np.maximum(high - low, 1e-9) * side  # (n, 2), in cells
    cells = np.minimum(places.astype(int), side - 1)
    off = ((places - cells - 0.5) ** 2).sum(axis=1)
    for cell in np.unique(cells, axis=0):
        inside = np.flatnonzero((cells == cell).all(axis=1))
        row = table.iloc[inside[off[inside].argmin()]]
        handle, info = open_slide(files[row["slide_id"]], mpp_override=row["mpp"])
        reading = plan(info, tile_um=Um(extraction.tile_um), tile_px=TilePx(extraction.tile_px))
        with TileReader(handle, info, reading) as reader:
            picture = OffsetImage(reader.tile(row["x_px"], row["y_px"])[::2, ::2], zoom=0.34)
        at = low + (cell + 0.5) / side * (high - low)
        axis.add_artist(AnnotationBbox(picture, tuple(at), frameon=False, pad=0))
    axis.set_xlim(low[0] - 0.03 * (high - low)[0], high[0] + 0.03 * (high - low)[0])
    axis.set_ylim(low[1] - 0.03 * (high - low)[1], high[1] + 0.03 * (high - low)[1])
