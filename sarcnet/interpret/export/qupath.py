"""All that a pathologist needs to look at one explained slide in QuPath, in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.interpret.attribution.tiles import see_tiles
from sarcnet.interpret.export.geojson import Feature, measured_nuclei, tile_features, true_nuclei_of, write_geojson
from sarcnet.interpret.export.heatmap import HeatMap
from sarcnet.interpret.export.overlay import write_overlay_ome_tiff, write_overlay_png
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.morphometry.measure import MEASURES, measure_tile, slide_colours

#: column of a table of tiles: name of the measurement in QuPath
CONTRIBUTIONS = {
    "contribution": "contribution (log-odds)",
    "strength": "contribution × tiles of the patient (log-odds)",
    "attention": "attention",
}
#: what the viewer tells of the tile under the pointer, in few words: column to name
NUMBERS = {
    "attention": "attention",
    "status": "nuclei are",
    "nuclei": "nuclei counted",
    "cellularity_per_mm2": "cellularity (nuclei/mm²)",
    "nuclear_area_um2": "mean nuclear area (µm²)",
    "anisokaryosis_cv": "anisokaryosis (CV of area)",
    "eccentricity": "eccentricity",
    "chromatin_od": "chromatin (OD)",
    "chromatin_texture_cv": "chromatin texture (CV)",
    "mitosis_like_per_mm2": "mitosis-like (1/mm²)",
    "necrosis_fraction": "necrosis (share)",
    "stroma_fraction": "stroma (share)",
}


@dataclass(frozen=True)
class SlideExport:
    """One explained slide as written for QuPath.

    heatmap: of the slide. paths: files by kind. file: the slide itself, `geometry` of its tiles.
    tiles: rows of `Explanation.tiles` of this slide with the columns of MEASURES, `nuclei` and `status`; a tile that cannot
        be read is "unreadable", has no nuclei and keeps its place.
    """

    heatmap: HeatMap
    tiles: pd.DataFrame
    paths: dict[str, Path]
    file: Path
    geometry: TileGeometry


def write_slide_exports(
    folder: Path,
    maps: Sequence[HeatMap],
    *,
    tiles: pd.DataFrame,
    files: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    nuclei_min: int,
    true_nuclei: Mapping[str, Path] | None = None,
) -> list[SlideExport]:
    """Write of each slide `<slide_id>.tiles.geojson`, `.nuclei.geojson`, `.overlay.png`, `.overlay.ome.tif` and, where the
    true nuclei are known, `.true_nuclei.geojson`: what QuPath opens over the slide.

    Args:
        folder: gets the files.
        maps: heat maps of the slides.
        tiles: `Explanation.tiles`, of these slides and perhaps others.
        files: slides by slide_id.
        geometry: where the tiles lie, by slide_id.
        nuclei_min: whole nuclei a tile needs for means over nuclei.
        true_nuclei: tables of the true nuclei by slide_id, where slides are simulated.

    Returns:
        One for each heat map, in their order.

    Raises:
        SlideFault: a slide cannot be read.
    """
    return [
        _write_slide(
            folder, heatmap, tiles[tiles["slide_id"] == heatmap.slide_id], file=files[heatmap.slide_id],
            geometry=geometry[heatmap.slide_id], nuclei_min=nuclei_min, truth=(true_nuclei or {}).get(heatmap.slide_id),
        )
        for heatmap in maps
    ]  # fmt: skip


def _write_slide(
    folder: Path, heatmap: HeatMap, tiles: pd.DataFrame, *, file: Path, geometry: TileGeometry, nuclei_min: int,
    truth: Path | None,
) -> SlideExport:  # fmt: skip
    slide_id = heatmap.slide_id
    measured, nuclei = _measure(tiles, file=file, geometry=geometry, nuclei_min=nuclei_min)
    columns = CONTRIBUTIONS | {name: f"{title}: {what}" for name, (title, what) in MEASURES.items()}
    known = {column: name for column, name in columns.items() if column in measured}
    features = {"tiles": tile_features(measured, geometry=geometry, columns=known), "nuclei": nuclei}
    if truth is not None:
        features["true_nuclei"] = true_nuclei_of(pd.read_parquet(truth), slide_id=slide_id, mpp=geometry.mpp)
    paths = {kind: write_geojson(folder / f"{slide_id}.{kind}.geojson", own) for kind, own in features.items()}
    paths["overlay"] = write_overlay_png(folder / f"{slide_id}.overlay.png", heatmap)
    paths["values"] = write_overlay_ome_tiff(folder / f"{slide_id}.overlay.ome.tif", heatmap)
    return SlideExport(heatmap, measured, paths, file, geometry)


def _measure(
    tiles: pd.DataFrame, *, file: Path, geometry: TileGeometry, nuclei_min: int
) -> tuple[pd.DataFrame, list[Feature]]:
    slide_id = str(tiles["slide_id"].iloc[0])
    seen = see_tiles(tiles, files={slide_id: file}, geometry={slide_id: geometry})
    mpp = geometry.tile_um / geometry.tile_px
    pictures = [item.pixels for item in seen if item.pixels is not None]
    colours = slide_colours(pictures, mpp=mpp) if pictures else None
    rows: list[Mapping[str, object]] = []
    nuclei: list[Feature] = []
    for item in seen:
        if item.pixels is None:
            rows.append({**dict.fromkeys(MEASURES, np.nan), "nuclei": 0, "status": "unreadable"})
            continue
        found = measure_tile(item.pixels, mpp=mpp, colours=colours, nuclei_min=nuclei_min)
        rows.append({**found.values, "nuclei": found.nuclei, "status": found.status})
        nuclei += measured_nuclei(found.labels, found.table, row=item.row.to_dict(), geometry=geometry)
    return tiles.assign(**pd.DataFrame(rows, index=tiles.index).to_dict("series")), nuclei
