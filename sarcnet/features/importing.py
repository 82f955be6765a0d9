"""`sarcnet features import`: feature files of TRIDENT, CLAM and STAMP become ours, after they were held against the
slides that they claim to describe.

Nothing in such a file says that it belongs to a slide, so we look: every tile must lie on the slide, and tiles must be
as far apart as they are large (coordinates of another pyramid level would crowd in a corner). All files must have the
same number of features, and that of the encoder where one is named.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.formats import ForeignFile, read_foreign
from sarcnet.features.store import write_features
from sarcnet.slides.reader.opening import SlideInfo, open_slide, require_inside
from sarcnet.slides.reader.units import Um, to_level0

OFF_SLIDE_PX = 1.0  # corners are rounded
CROWDED = 0.9  # neighbours may be nearer than their size by as much, where tiles do not overlap


@dataclass(frozen=True)
class Imported:
    """One file that was taken over: slide_id, tool, tiles, features a tile, µm of a tile's side."""

    slide_id: str
    tool: str
    tiles: int
    dim: int
    tile_um: float


def import_features(
    source: Path, *, hospital: Path, into: Path, tile_um: float | None = None, encoder: str | None = None
) -> tuple[list[Imported], ErrorCollector]:
    """Take over every `<slide>.h5` of `source` that belongs to a slide of `hospital`.

    Args:
        source: folder with files of one of the tools, named after the slide_id or the slide file.
        hospital: folder with slides.csv (slide_id, file, mpp) and the slides.
        into: folder that gets `<slide_id>.h5`.
        tile_um: side of a tile, µm; needed for CLAM, whose files do not say it.
        encoder: name in our table; its number of features must be found.

    Returns:
        What was taken over, and the faults of the files that were not.

    Raises:
        SarcnetError: no slides.csv, no file, or an unknown encoder.
    """
    dim = encoder_named(encoder).dim if encoder else None
    slides, files = _slides(hospital), sorted(source.glob("*.h5"))
    if not files:
        raise SarcnetError(
            f"There is no .h5 file in {source.name}: name the folder that holds one file for each slide."
        )
    done: list[Imported] = []
    faults = ErrorCollector()
    for path in files:
        try:
            slide = slides.get(path.stem)
            if slide is None:
                raise SarcnetError(
                    f"{path.name} belongs to no slide of {hospital.name}/slides.csv: add it or move it away."
                )
            info = _opened(hospital, slide)
            found = _import_one(path, slide["slide_id"], info, into, tile_um=tile_um, dim=dim, encoder=encoder)
        except SarcnetError as error:
            faults.add(str(error))
            continue
        dim = dim or found.dim
        done.append(found)
    return done, faults


def _import_one(
    path: Path,
    slide_id: str,
    info: SlideInfo,
    into: Path,
    *,
    tile_um: float | None,
    dim: int | None,
    encoder: str | None,
) -> Imported:
    found = read_foreign(path)
    if dim is not None and found.features.shape[1] != dim:
        raise SarcnetError(
            f"{path.name} has {found.features.shape[1]} features a tile, not {dim} like the others: it is of another encoder."
        )
    side_um = _side_um(path, found, info, tile_um)
    corners = found.places / info.mpp if found.in_um else found.places  # (n, 2), level-0 pixels
    _check_places(path, corners, info, side_px=float(to_level0(Um(side_um), info.mpp)), overlap=found.overlap)
    order = np.lexsort((corners[:, 0], corners[:, 1]))  # row by row, as ours
    tile_px = found.tile_px or 0
    write_features(
        into / f"{slide_id}.h5",
        features=found.features[order],
        coords=np.round(corners[order]).astype(np.int64),
        tiles=np.arange(len(order)),
        attrs={
            "slide_id": slide_id,
            "key": hashlib.sha256(path.read_bytes()).hexdigest()[:24],
            "imported_from": found.tool,
            "encoder": encoder or found.encoder or "not stated",
            "tile_um": side_um,
            "tile_px": tile_px,
            "mpp": side_um / tile_px if tile_px else math.nan,
            "mpp_level0": float(info.mpp),
            "mpp_source": info.mpp_source,
            "patch_size_level0": side_um / info.mpp,
        },
    )
    return Imported(slide_id, found.tool, len(order), found.features.shape[1], side_um)


def _side_um(path: Path, found: ForeignFile, info: SlideInfo, given: float | None) -> float:
    stated = found.size_um if found.size_um is not None else None
    if found.size_px is not None:
        stated = found.size_px * info.mpp  # type: ignore[assignment]
    if stated is None and given is None:
        raise SarcnetError(f"{path.name} ({found.tool}) does not say how large its tiles are: give --tile-um.")
    if stated is not None and given is not None and abs(stated / given - 1) > 0.02:
        raise SarcnetError(
            f"{path.name} ({found.tool}) has tiles of {stated:.4g} µm on this slide, not of {given:g} µm: leave out "
            "--tile-um, or check the slide's µm/px in slides.csv."
        )
    return float(stated if stated is not None else given)  # type: ignore[arg-type]


def _check_places(path: Path, corners: np.ndarray, info: SlideInfo, *, side_px: float, overlap: bool) -> None:
    size = np.array([info.width_px, info.height_px])
    off = ((corners < -OFF_SLIDE_PX) | (corners + side_px > size + side_px / 2 + OFF_SLIDE_PX)).any(axis=1)
    if off.any():
        x, y = corners[off.argmax()]
        raise SarcnetError(
            f"{path.name}: {off.sum()} of {len(corners)} tiles lie off {info.path.name} ({size[0]:,} × {size[1]:,} px), for "
            f"example at {x:,.0f}, {y:,.0f}: the file belongs to another slide, or the µm/px is wrong."
        )
    if len(np.unique(np.round(corners), axis=0)) < len(corners):
        raise SarcnetError(f"{path.name} has several tiles at the same place: extract the slide again.")
    stride = _stride(corners)
    if not overlap and stride < CROWDED * side_px:
        raise SarcnetError(
            f"{path.name}: tiles of {side_px:.0f} level-0 pixels stand {stride:.0f} apart: its coordinates are not those of "
            "level 0, or the tiles' size is wrong."
        )


def _stride(corners: np.ndarray) -> float:
    """Least distance between neighbours of one row or one column; infinite where no two share one."""
    least = math.inf
    for along, across in ((0, 1), (1, 0)):
        order = np.lexsort((corners[:, along], np.round(corners[:, across])))
        step = np.diff(corners[order, along])
        same = np.diff(np.round(corners[order, across])) == 0
        if same.any():
            least = min(least, float(step[same].min()))
    return least


def _slides(hospital: Path) -> dict[str, dict[str, str]]:
    """Rows of slides.csv by slide_id and by the name of the slide file."""
    try:
        table = pd.read_csv(hospital / "slides.csv", dtype=str, keep_default_na=False)
        rows = table[["slide_id", "file"]].assign(mpp=table.get("mpp", "")).to_dict("records")
    except (OSError, KeyError, ValueError) as error:
        raise SarcnetError(
            f"{hospital.name}/slides.csv cannot be read ({error}): it needs the columns slide_id and file."
        ) from error
    by_file = {Path(row["file"]).stem: row for row in rows}
    return by_file | {row["slide_id"]: row for row in rows}


def _opened(hospital: Path, slide: dict[str, str]) -> SlideInfo:
    path = hospital / slide["file"]
    require_inside(path, hospital)
    try:
        override = float(slide["mpp"]) if slide["mpp"] else math.nan
    except ValueError as error:
        raise SarcnetError(f"slides.csv: the mpp of {slide['slide_id']} is '{slide['mpp']}', not a number.") from error
    handle, info = open_slide(path, mpp_override=override)
    handle.close()
    return info
