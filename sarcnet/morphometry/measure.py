"""Nuclear morphometry of tiles: what a pathologist would call cellularity, atypia and anisokaryosis, as numbers.

Everything is measured on the picture alone, so it works on real slides; how far it can be believed is measured by
:mod:`studies.morphometry_validation.run`. Stain colours and the threshold between nuclei and the rest are taken from all chosen
tiles of a slide together, since a tile without nuclei or without eosin would mislead both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.morphometry.nuclear_table import nuclear_table
from sarcnet.morphometry.nuclei import Outlining, blurred, nuclear_level, outline_nuclei
from sarcnet.morphometry.stains import Stains, estimated_stains
from sarcnet.morphometry.tissue import TissueMaps, tissue_maps
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import Level0Px

#: column: (name for a reader, what is measured)
MEASURES = {
    "cellularity_per_mm2": ("cellularity", "nuclei per mm² of living tissue"),
    "nuclear_area_um2": ("nuclear area", "mean, µm²"),
    "anisokaryosis_cv": ("anisokaryosis", "coefficient of variation of the nuclear area"),
    "eccentricity": ("eccentricity", "mean over nuclei, 0 round to 1"),
    "chromatin_od": ("chromatin intensity", "mean optical density of haematoxylin"),
    "chromatin_texture_cv": ("chromatin texture", "mean variation of density within a nucleus"),
    "mitosis_like_per_mm2": ("mitosis-like", "dark, rough bodies per mm² of living tissue"),
    "necrosis_fraction": ("necrosis", "share of the tile"),
    "stroma_fraction": ("stroma", "fibrous, share of the tile"),
}
STATUS = ("measured", "few nuclei", "no nuclei", "unreadable")
UM2_PER_MM2 = 1e6
LIVING_SHARE_MIN = 0.3  # of a tile: below it, cellularity would hang on a strip of tissue
WHOLE_SOLIDITY_MIN, WHOLE_AREA_MIN_UM2 = 0.88, 18.0  # sizes are taken of outlined nuclei, not of clumps and debris
MITOSIS_DARKER, MITOSIS_TEXTURE_MIN, MITOSIS_AREA_UM2 = 1.6, 0.6, (20.0, 150.0)
TILES_PER_JOB = 200  # that are worth another process
LEVEL_EVERY_PX = 4  # pixels of the smoothed tiles that the threshold is taken from: one in so many along each side


@dataclass(frozen=True)
class SlideColours:
    """What all tiles of a slide share: colours of the dyes, OD that parts nuclei from the rest, OD of a usual nucleus."""

    stains: Stains
    level: float
    usual_od: float


@dataclass(frozen=True)
class MeasuredTile:
    """One tile: `values` by name of MEASURES (NaN where not measurable), nuclei counted, `status` as in STATUS."""

    values: dict[str, float]
    nuclei: int
    status: str
    labels: np.ndarray = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    maps: TissueMaps = field(repr=False)


def slide_colours(pictures: Sequence[np.ndarray], *, mpp: float, how: Outlining | None = None) -> SlideColours:
    """Colours of the dyes and threshold between nuclei and other tissue on one slide.

    Args:
        pictures: (h, w, 3) uint8 RGB, tiles of the slide; the same pictures in any order give the same.
        mpp: their µm/px.
        how: settings of the outlining of nuclei.

    Returns:
        What all tiles of the slide share.
    """
    how = how or Outlining()
    thinned = [picture[::LEVEL_EVERY_PX, ::LEVEL_EVERY_PX].reshape(-1, 3) for picture in pictures]
    stains = estimated_stains(np.concatenate(thinned))
    dyes = [blurred(stains.haematoxylin(picture), sigma_px=how.smooth_um / mpp) for picture in pictures]
    seen = np.concatenate([dye[::LEVEL_EVERY_PX, ::LEVEL_EVERY_PX].ravel() for dye in dyes])
    level = nuclear_level(seen, how=how)
    nuclear = seen[seen > level] if np.isfinite(level) else seen[:0]
    return SlideColours(stains, level, float(np.median(nuclear)) if len(nuclear) else float("nan"))


def measure_tile(
    picture: np.ndarray,
    *,
    mpp: float,
    colours: SlideColours | None = None,
    nuclei_min: int = 8,
    how: Outlining | None = None,
) -> MeasuredTile:
    """Nuclear morphometry of one picture.

    Nuclei are counted by an unbiased frame (Gundersen 1977, :func:`sarcnet.morphometry.nuclear_table.nuclear_table`), and
    their number divided by the area of living tissue; a tile with less than LIVING_SHARE_MIN of it has no cellularity
    (NaN). The few found in dead tissue count: its border is blurred, and without them cellularity would fall with
    necrosis. Sizes and chromatin are means over whole nuclei: not cut by the edge, not clumps, not in dead tissue, whose
    debris would pass for small nuclei; with fewer than `nuclei_min` of them they are NaN.

    Args:
        picture: (h, w, 3) uint8 RGB.
        mpp: its µm/px.
        colours: of the slide; left out, they are taken from this picture alone, which is less certain.
        nuclei_min: whole nuclei that means over nuclei need.
        how: settings of the outlining of nuclei.

    Returns:
        The measures, the outlines, and a table of the nuclei.
    """
    colours = colours or slide_colours([picture], mpp=mpp, how=how)
    density = colours.stains.haematoxylin(picture)
    labels = outline_nuclei(density, mpp=mpp, how=how, level=colours.level)
    table = nuclear_table(labels, density, mpp=mpp)
    maps = tissue_maps(picture, labels, stains=colours.stains, mpp=mpp)
    table["dead"] = maps.lies_dead(table["x_um"], table["y_um"])
    living = table[~table["dead"]]
    shaped = (living["solidity"] >= WHOLE_SOLIDITY_MIN) & (living["area_um2"] >= WHOLE_AREA_MIN_UM2)
    whole = living[~living["cut"] & shaped]
    enough = len(whole) >= nuclei_min
    side_mm2 = picture.shape[0] * picture.shape[1] * mpp**2 / UM2_PER_MM2
    living_mm2 = side_mm2 * maps.living if maps.living >= LIVING_SHARE_MIN else np.nan
    counted = int(table["counts"].sum())
    mitoses = int((is_mitosis_like(living, usual_od=colours.usual_od) & living["counts"]).sum())
    area = whole["area_um2"]
    sizes = {
        "nuclear_area_um2": area.mean(),
        "anisokaryosis_cv": area.std(ddof=1) / area.mean(),
        "eccentricity": whole["eccentricity"].mean(),
        "chromatin_od": whole["chromatin_od"].mean(),
        "chromatin_texture_cv": whole["texture_cv"].mean(),
    }
    values = {
        "cellularity_per_mm2": counted / living_mm2,
        **{name: value if enough else np.nan for name, value in sizes.items()},
        "mitosis_like_per_mm2": mitoses / living_mm2,
        "necrosis_fraction": maps.necrosis.mean(),
        "stroma_fraction": maps.stroma.mean(),
    }
    status = "measured" if enough else "few nuclei" if counted else "no nuclei"
    return MeasuredTile({name: float(values[name]) for name in MEASURES}, counted, status, labels, table, maps)


def is_mitosis_like(table: pd.DataFrame, *, usual_od: float) -> pd.Series:
    """Which rows of a nuclear table are as dark as clumped chromosomes, rough, and of their size; lymphocytes may be too."""
    dark = table["chromatin_od"] > MITOSIS_DARKER * usual_od
    return dark & (table["texture_cv"] > MITOSIS_TEXTURE_MIN) & table["area_um2"].between(*MITOSIS_AREA_UM2)


def measure_tiles(
    tiles: pd.DataFrame,
    *,
    files: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    nuclei_min: int,
    jobs: int = 1,
) -> pd.DataFrame:
    """Nuclear morphometry of tiles, read from their slides at the µm/px at which the encoder saw them.

    Args:
        tiles: slide_id, x_px, y_px (level-0 corner), …
        files: slide files by slide_id.
        geometry: µm/px and size of the tiles by slide_id (`tile_geometry`).
        nuclei_min: whole nuclei a tile needs for means over nuclei.
        jobs: processes, at most one for TILES_PER_JOB tiles; the result does not depend on it.

    Returns:
        `tiles` with the columns of MEASURES, `nuclei` and `status`, row by row as given. A tile that cannot be read has the
        status "unreadable" and NaN throughout.

    Raises:
        SlideFault: a slide cannot be opened.
    """
    by_slide = [(str(slide_id), own) for slide_id, own in tiles.groupby("slide_id", sort=True)]
    done = Parallel(n_jobs=max(1, min(jobs, len(tiles) // TILES_PER_JOB)))(
        delayed(_measure_slide)(own, file=files[name], place=geometry[name], nuclei_min=nuclei_min)
        for name, own in by_slide
    )
    columns = [*MEASURES, "nuclei", "status"]
    found = pd.concat(done) if done else pd.DataFrame(columns=columns)
    return tiles.assign(**{name: found[name].reindex(tiles.index) for name in columns})


def _measure_slide(own: pd.DataFrame, *, file: Path, place: TileGeometry, nuclei_min: int) -> pd.DataFrame:
    handle, info = open_slide(file, mpp_override=place.mpp)
    pictures: dict[object, np.ndarray] = {}
    with TileReader(handle, info, plan(info, tile_um=place.tile_um, tile_px=place.tile_px)) as reader:
        for index, x_px, y_px in zip(own.index, own["x_px"], own["y_px"], strict=True):
            try:
                pictures[index] = reader.tile(Level0Px(float(x_px)), Level0Px(float(y_px)))
            except UnreadableTile:
                continue
    return measure_pictures(pictures, index=own.index, mpp=place.tile_um / place.tile_px, nuclei_min=nuclei_min)


def measure_pictures(
    pictures: Mapping[object, np.ndarray], *, index: pd.Index, mpp: float, nuclei_min: int
) -> pd.DataFrame:
    """MEASURES, nuclei and status of the pictures of one slide, for each of `index`; "unreadable" where there is none."""
    rows: list[dict[str, object]] = []
    colours = slide_colours(list(pictures.values()), mpp=mpp) if pictures else None
    for name in index:
        if name not in pictures:
            rows.append({**dict.fromkeys(MEASURES, np.nan), "nuclei": 0, "status": "unreadable"})
            continue
        tile = measure_tile(pictures[name], mpp=mpp, colours=colours, nuclei_min=nuclei_min)
        rows.append({**tile.values, "nuclei": tile.nuclei, "status": tile.status})
    return pd.DataFrame(rows, index=index)


def count_status(measured: pd.DataFrame) -> str:
    """How many tiles were measured, and why the others were not.

    Args:
        measured: slide_id, status, one row per tile (`measure_tiles`).

    Returns:
        One sentence.
    """
    counts = measured["status"].value_counts()
    by_status = ", ".join(f"{counts[name]:,} {name}" for name in STATUS if counts.get(name))
    return f"{len(measured):,} tiles of {measured['slide_id'].nunique()} slides: {by_status or 'none'}."
