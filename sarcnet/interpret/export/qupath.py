"""All that a pathologist needs to look at one explained slide in QuPath, in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.interpret.explain.tiles import see_tiles
from sarcnet.interpret.export.geojson import Feature, measured_nuclei, tile_features, true_nuclei, write_geojson
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


def write_slide(
    folder: Path,
    tiles: pd.DataFrame,
    *,
    file: Path,
    geometry: TileGeometry,
    heatmap: HeatMap,
    limit: float,
    nuclei_min: int,
    truth: Path | None = None,
) -> tuple[dict[str, Path], pd.DataFrame]:
    """Write `<slide_id>.tiles.geojson`, `.nuclei.geojson`, `.overlay.png`, `.overlay.ome.tif` and, with truth,
    `.true_nuclei.geojson`.

    Args:
        tiles: of this slide, as in `Explanation.tiles`.
        file: the slide.
        geometry: where its tiles lie.
        heatmap: of this slide.
        limit: contribution at which the colours of the PNG end.
        nuclei_min: whole nuclei a tile needs for means over nuclei.
        truth: table of the true nuclei, of a virtual slide.

    Returns:
        Paths by kind of file, and the tiles with the columns of MEASURES, `nuclei` and `status`; a tile that cannot be read
        is "unreadable", has no nuclei and keeps its place in the tiles' file.
    """
    slide_id = str(tiles["slide_id"].iloc[0])
    measured, nuclei = _measure(tiles, file=file, geometry=geometry, nuclei_min=nuclei_min)
    columns = CONTRIBUTIONS | {name: f"{title}: {what}" for name, (title, what) in MEASURES.items()}
    known = {column: name for column, name in columns.items() if column in measured}
    paths = {kind: folder / f"{slide_id}.{kind}.geojson" for kind in ("tiles", "nuclei")}
    write_geojson(paths["tiles"], tile_features(measured, geometry=geometry, columns=known))
    write_geojson(paths["nuclei"], nuclei)
    if truth is not None:
        table = pd.read_parquet(truth)
        known_nuclei = true_nuclei(table, slide_id=slide_id, mpp=geometry.mpp)
        paths["true nuclei"] = write_geojson(folder / f"{slide_id}.true_nuclei.geojson", known_nuclei)
    paths["overlay"] = write_overlay_png(folder / f"{slide_id}.overlay.png", heatmap, limit=limit)
    paths["values"] = write_overlay_ome_tiff(folder / f"{slide_id}.overlay.ome.tif", heatmap, name=slide_id)
    return paths, measured


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
