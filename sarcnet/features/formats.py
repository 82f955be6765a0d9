"""Feature files of TRIDENT, CLAM and STAMP, read as what they are.

All are HDF5 with one row a tile, and differ in how they say where a tile lies:

- TRIDENT: `features`, `coords` in pixels of level 0; the attributes of `coords` hold patch_size_level0, overlap and the
  magnifications.
- CLAM: `features`, `coords` in pixels of level 0, and nothing else: the tile's size must be given.
- STAMP: `feats`, `coords` in micrometres; the file's attributes hold tile_size_um (2.0: tile_size with unit "um"),
  tile_size_px and extractor. Older files state no unit and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from sarcnet.compendium.errors import SarcnetError
from sarcnet.slides.reader.units import Level0Px, Um


@dataclass(frozen=True)
class ForeignFile:
    """One slide's features as another tool wrote them. Exactly one of `size_px` and `size_um` is known, or, from CLAM,
    neither.

    `features` (n, d); `places` (n, 2) x, y of the corners, in µm where `in_um`, otherwise in pixels of level 0.
    """

    tool: str
    features: np.ndarray
    places: np.ndarray
    in_um: bool
    size_px: Level0Px | None
    size_um: Um | None
    tile_px: int | None
    overlap: bool
    encoder: str


def read_foreign(path: Path) -> ForeignFile:
    """Read a file of any of the three tools.

    Raises:
        SarcnetError: not HDF5, not one of the three layouts, or its arrays do not belong together.
    """
    try:
        with h5py.File(path, "r") as file:
            found = _stamp(path, file) if "feats" in file else _trident_or_clam(path, file)
    except OSError as error:
        raise SarcnetError(f"{path.name} is not an HDF5 file that opens ({error}): copy it again.") from error
    return _checked(path, found)


def _stamp(path: Path, file: h5py.File) -> ForeignFile:
    attrs = dict(file.attrs)
    size = attrs.get("tile_size_um", attrs.get("tile_size") if attrs.get("unit") == "um" else None)
    if size is None:
        raise SarcnetError(
            f"{path.name} was written by a STAMP before 2.0, which states no unit for its coordinates: extract it again "
            "with a newer STAMP."
        )
    pixels = attrs.get("tile_size_px")
    return ForeignFile(
        "STAMP",
        np.asarray(file["feats"]),
        _dataset(path, file, "coords").astype(np.float64),
        in_um=True,
        size_px=None,
        size_um=Um(float(size)),
        tile_px=None if pixels is None else int(pixels),
        overlap=False,
        encoder=_text(attrs.get("extractor")),
    )


def _trident_or_clam(path: Path, file: h5py.File) -> ForeignFile:
    features, places = _dataset(path, file, "features"), _dataset(path, file, "coords")
    attrs = dict(file["coords"].attrs)
    size = attrs.get("patch_size_level0")
    pixels = attrs.get("patch_size")
    return ForeignFile(
        "CLAM" if size is None else "TRIDENT",
        features[0] if features.ndim == 3 and len(features) == 1 else features,
        places.astype(np.float64),
        in_um=False,
        size_px=None if size is None else Level0Px(float(size)),
        size_um=None,
        tile_px=None if size is None or pixels is None else int(pixels),
        overlap=bool(attrs.get("overlap", 0)),
        encoder=_text(file["features"].attrs.get("encoder")),
    )


def _dataset(path: Path, file: h5py.File, name: str) -> np.ndarray:
    if name not in file:
        raise SarcnetError(
            f"{path.name} has no dataset '{name}' (it has {', '.join(sorted(file)) or 'none'}): it is not a tile feature "
            "file of TRIDENT, CLAM or STAMP."
        )
    return np.asarray(file[name])


def _checked(path: Path, found: ForeignFile) -> ForeignFile:
    features, places = found.features, found.places
    if features.ndim != 2 or places.ndim != 2 or places.shape[1] != 2 or len(features) != len(places):
        raise SarcnetError(
            f"{path.name}: features are {features.shape} and coords {places.shape}, instead of (n, d) and (n, 2): it is "
            "not a file of tile features."
        )
    if len(features) == 0:
        raise SarcnetError(f"{path.name} holds no tile: leave the slide out, or extract it again.")
    bad = int((~np.isfinite(features)).any(axis=1).sum())
    if bad:
        raise SarcnetError(f"{path.name}: the features of {bad} tiles are not finite: extract the slide again.")
    return found


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
