"""Feature files: one HDF5 a slide, `features` (n, d) and `coords` (n, 2), as TRIDENT, CLAM and STAMP users know them.

float16, because it halves what a study keeps (4,000 tiles of 828 slides: 8 GB instead of 17) and its rounding, one
part in 2,000, is far below what the same tile varies by between two stainings. `coords` are the top-left corners in
pixels of the finest level; their attributes are those that TRIDENT's readers ask for. The same input gives the same
bytes: no time stamps are stored. Features may come block by block, so that memory stays flat however many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from sarcnet.compendium.errors import SarcnetError
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
    path: Path,
    *,
    features: np.ndarray | Iterable[np.ndarray],
    coords: np.ndarray,
    tiles: np.ndarray,
    attrs: Mapping[str, object],
    coords_attrs: Mapping[str, object] | None = None,
) -> None:
    """Write one slide's features (temp + rename), with a checksum of the contents among the attributes.

    Args:
        path: the file.
        features: (n, d), or blocks (k, d) that follow one another.
        coords: (n, 2).
        tiles: (n,).
        attrs: attributes of the file.
        coords_attrs: attributes of `coords`.
    """
    coords = np.ascontiguousarray(coords, dtype=np.int64)
    tiles = np.ascontiguousarray(tiles, dtype=np.int64)
    blocks = iter([features] if isinstance(features, np.ndarray) else features)
    digest = hashlib.sha256()
    with atomic_path(path) as part, h5py.File(part, "w", libver="latest") as file:
        block = np.ascontiguousarray(next(blocks), dtype=DTYPE)
        rows = max(1, min(len(coords), CHUNK_BYTES // max(1, block[:1].nbytes)))
        data = file.create_dataset(
            "features",
            shape=(len(coords), block.shape[1]),
            dtype=DTYPE,
            chunks=(rows, block.shape[1]),
            track_times=False,
        )
        at = 0
        for values in chain([block], blocks):
            block = np.ascontiguousarray(values, dtype=DTYPE)
            data[at : at + len(block)] = block
            digest.update(block.tobytes())
            at += len(block)
        if at != len(coords):
            raise ValueError(f"{at} features, {len(coords)} coordinates")
        places = file.create_dataset("coords", data=coords, track_times=False)
        file.create_dataset("tiles", data=tiles, track_times=False)
        for name, value in sorted((coords_attrs or {}).items()):
            places.attrs[name] = value
        digest.update(coords.tobytes())
        digest.update(tiles.tobytes())
        for name, value in sorted({**attrs, "contents_sha256": digest.hexdigest()}.items()):
            file.attrs[name] = value


def read_features(path: Path) -> FeatureFile:
    """Read one slide's features.

    Args:
        path: `<slide_id>.h5`.

    Returns:
        Features, places and attributes.

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


@dataclass(frozen=True)
class Kept:
    """What an earlier run left of a slide: the key of the file, and `coords` (n, 2) of its tiles."""

    key: str
    coords: np.ndarray


def kept_tiles(path: Path, *, tile_key: str) -> Kept | None:
    """What can be taken from a slide's file: None unless it is there, whole, and its tiles were encoded under this key.
    Read piece by piece."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("tile_key") != tile_key:
                return None
            digest = hashlib.sha256()
            for name in ("features", "coords", "tiles"):
                data = file[name]
                step = max(1, CHUNK_BYTES // max(1, data[:1].nbytes))
                for first in range(0, len(data), step):
                    digest.update(data[first : first + step].tobytes())
            if file.attrs.get("contents_sha256") != digest.hexdigest():
                return None
            return Kept(str(file.attrs["key"]), np.asarray(file["coords"]))
    except (OSError, KeyError, RuntimeError):
        return None


def count_tiles(path: Path) -> int:
    """Count the tiles of a feature file, without reading their features.

    Args:
        path: `<slide_id>.h5`.

    Returns:
        Number of tiles.
    """
    with h5py.File(path, "r") as file:
        return len(file["coords"])


def read_rows(path: Path, rows: np.ndarray) -> np.ndarray:
    """(k, d) float16: these rows (k,) of a file's features, k of at least 1."""
    first = int(rows.min())
    with h5py.File(path, "r") as file:
        return np.asarray(file["features"][first : int(rows.max()) + 1])[rows - first]


def _checksum(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
