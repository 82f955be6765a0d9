"""Feature files: one HDF5 a slide, `features` (n, d) and `coords` (n, 2), as TRIDENT, CLAM and STAMP users know them.

float16, because it halves what a study keeps (4,000 tiles of 828 slides: 8 GB instead of 17) and its rounding, one
part in 2,000, is far below what the same tile varies by between two stainings. `coords` are the top-left corners in
pixels of the finest level. The same input gives the same bytes: no time stamps are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from sarcnet.compendium.faults import SarcnetError
from sarcnet.compendium.files import atomic_path

DTYPE = np.float16
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FeatureFile:
    """`features` (n, d) float16, `coords` (n, 2) int64 x, y at level 0, `tiles` (n,) int64 row in notebook 01's
    grid, `attrs`.
    """

    features: np.ndarray
    coords: np.ndarray
    tiles: np.ndarray
    attrs: dict[str, object]


def write_features(
    path: Path, *, features: np.ndarray, coords: np.ndarray, tiles: np.ndarray, attrs: Mapping[str, object]
) -> None:
    """Write one slide's features (temp + rename), with a checksum of the contents among the attributes."""
    features = np.ascontiguousarray(features, dtype=DTYPE)
    coords = np.ascontiguousarray(coords, dtype=np.int64)
    tiles = np.ascontiguousarray(tiles, dtype=np.int64)
    rows = max(1, min(len(features), CHUNK_BYTES // max(1, features[:1].nbytes)))
    with atomic_path(path) as part, h5py.File(part, "w", libver="latest") as file:
        file.create_dataset("features", data=features, chunks=(rows, features.shape[1]), track_times=False)
        file.create_dataset("coords", data=coords, track_times=False)
        file.create_dataset("tiles", data=tiles, track_times=False)
        for name, value in sorted({**attrs, "contents_sha256": _checksum(features, coords, tiles)}.items()):
            file.attrs[name] = value


def read_features(path: Path) -> FeatureFile:
    """Read one slide's features.

    Raises:
        SarcnetError: not a feature file, or its contents are not what was written.
    """
    try:
        with h5py.File(path, "r") as file:
            features, coords, tiles = (np.asarray(file[name]) for name in ("features", "coords", "tiles"))
            attrs = {
                name: value.item() if isinstance(value, np.generic) else value for name, value in file.attrs.items()
            }
    except (OSError, KeyError) as error:
        raise SarcnetError(f"{path.name} is not a feature file ({error}): run 02_features again.") from error
    if attrs.get("contents_sha256") != _checksum(features, coords, tiles):
        raise SarcnetError(f"{path.name} has changed since it was written: run 02_features again.")
    return FeatureFile(features, coords, tiles, attrs)


def is_done(path: Path, *, key: str) -> bool:
    """Is this slide's file there, whole, and made from the same input with the same settings?"""
    try:
        return path.exists() and read_features(path).attrs.get("key") == key
    except SarcnetError:
        return False


def _checksum(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
