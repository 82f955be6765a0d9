"""The tiles that raise and lower the score most over a cohort, seen as the encoder saw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import Level0Px


def extreme_tiles(tiles: pd.DataFrame, *, count: int, per_patient_max: int, highest: bool) -> pd.DataFrame:
    """The tiles that raise (or lower) the score most, strongest first.

    Fewer where fewer do: a tile that lowers the score is not shown among those that raise it.

    Args:
        tiles: patient_id, slide_id, tile, strength, … (`Explanation.tiles`). Ties go by patient, slide and tile.
        count: tiles wanted.
        per_patient_max: tiles of one patient among them.
        highest: those that raise the score, else those that lower it.

    Returns:
        Rows of `tiles`, numbered anew.
    """
    pushing = tiles[(tiles["strength"] > 0) if highest else (tiles["strength"] < 0)]
    ordered = pushing.sort_values(
        ["strength", "patient_id", "slide_id", "tile"], ascending=[not highest, True, True, True], kind="stable"
    )
    allowed = ordered.groupby("patient_id").cumcount() < per_patient_max
    return ordered[allowed].head(count).reset_index(drop=True)


@dataclass(frozen=True)
class SeenTile:
    """One tile: its row of `Explanation.tiles` and its pixels (tile_px, tile_px, 3) uint8, None if unreadable."""

    row: pd.Series
    pixels: np.ndarray | None
    tile_um: float


def see_tiles(
    chosen: pd.DataFrame, *, files: Mapping[str, Path], geometry: Mapping[str, TileGeometry]
) -> list[SeenTile]:
    """Read these tiles from their slides at the µm/px at which the encoder saw them, in the order given.

    Args:
        chosen: rows of `Explanation.tiles`.
        files: slides by slide_id.
        geometry: where the tiles lie, by slide_id.

    Returns:
        The tiles with their pixels.

    Raises:
        SlideFault: a slide cannot be opened.
    """
    seen: dict[int, SeenTile] = {}
    for slide_id, rows in chosen.reset_index(drop=True).groupby("slide_id", sort=True):
        place = geometry[str(slide_id)]
        handle, info = open_slide(files[str(slide_id)], mpp_override=place.mpp)
        with TileReader(handle, info, plan(info, tile_um=place.tile_um, tile_px=place.tile_px)) as reader:
            for index, row in rows.iterrows():
                seen[int(str(index))] = SeenTile(row, _pixels(reader, row), place.tile_um)
    return [seen[index] for index in range(len(chosen))]


def _pixels(reader: TileReader, row: pd.Series) -> np.ndarray | None:
    try:
        return reader.tile(Level0Px(float(row["x_px"])), Level0Px(float(row["y_px"])))
    except UnreadableTile:
        return None
