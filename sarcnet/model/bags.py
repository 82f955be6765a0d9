"""Bags: the tile features of each patient, all slides of a patient together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector


@dataclass(frozen=True)
class Bags:
    """Tile features of n patients, stored flat: bag i is ``features[offsets[i]:offsets[i + 1]]``.

    Attributes:
        patient_ids: n names, in the order of the bags.
        features: (N, d) float32, the tiles of patient 0, then of patient 1, ...
        offsets: (n + 1,) int64; a patient without a slide has an empty bag.
        tiles: N rows: slide_id, tile (row in the slide's feature file), x_px, y_px (level-0 corner); says where each
            feature comes from.
        encoder: name of the network the features come from, as written in the files.
    """

    patient_ids: tuple[str, ...]
    features: np.ndarray
    offsets: np.ndarray
    tiles: pd.DataFrame
    encoder: str = ""

    def __post_init__(self) -> None:
        faults = ErrorCollector()
        if len(self.offsets) != len(self.patient_ids) + 1 or (
            len(self.offsets) and self.offsets[-1] != len(self.features)
        ):
            faults.add("The offsets of the bags do not fit their patients and tiles: build bags with read_bags.")
        if len(set(self.patient_ids)) != len(self.patient_ids):
            faults.add("A patient has two bags: put all slides of a patient into one bag.")
        faults.raise_if_any("These bags cannot be used")

    def __len__(self) -> int:
        return len(self.patient_ids)

    @property
    def feature_dim(self) -> int:
        """Number of features of a tile, d."""
        return int(self.features.shape[1])

    @property
    def sizes(self) -> np.ndarray:
        """(n,) int64: number of tiles of each patient."""
        return np.diff(self.offsets)

    def of(self, index: int) -> np.ndarray:
        """(T, d) float32: the tiles of patient number ``index``."""
        return self.features[self.offsets[index] : self.offsets[index + 1]]

    def select(self, patient_ids: Sequence[str]) -> Bags:
        """The bags of these patients, in this order (a copy). Unknown patients get an empty bag."""
        position = {patient: i for i, patient in enumerate(self.patient_ids)}
        rows = [
            np.arange(self.offsets[position[p]], self.offsets[position[p] + 1]) if p in position else np.arange(0)
            for p in patient_ids
        ]
        flat = np.concatenate(rows) if rows else np.arange(0)
        offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
        tiles = self.tiles.iloc[flat].reset_index(drop=True)
        return Bags(tuple(patient_ids), self.features[flat], offsets, tiles, self.encoder)


def read_bags(files: Iterable[Path], *, slides: pd.DataFrame, patient_ids: Sequence[str]) -> Bags:
    """Read the feature files of all slides of these patients; several slides of a patient become one bag.

    Args:
        files: HDF5 files named ``<slide_id>.h5`` with ``features`` (n, d) and ``coords`` (n, 2), level-0 pixels; slides
            without a file (they failed on the way) are left out, so their patient may have an empty bag.
        slides: table with slide_id and patient_id. Slides are taken in the order of slide_id.
        patient_ids: the patients, in the order of the bags.

    Returns:
        One bag per patient.

    Raises:
        SarcnetError: naming every file whose content does not fit: other number of features, other encoder, not finite.
    """
    path_of = {Path(f).stem: Path(f) for f in files}
    slides_of = slides.sort_values("slide_id").groupby("patient_id")["slide_id"].apply(list).to_dict()
    faults = ErrorCollector()
    features: list[np.ndarray] = []
    tiles: list[pd.DataFrame] = []
    sizes: list[int] = []
    encoders: dict[str, str] = {}
    for patient in patient_ids:
        size = 0
        for slide_id in slides_of.get(patient, []):
            if slide_id not in path_of:
                continue
            with h5py.File(path_of[slide_id], "r") as file:
                x = np.asarray(file["features"], dtype=np.float32)  # (T, d)
                xy = np.asarray(file["coords"], dtype=np.int64)  # (T, 2)
                encoders.setdefault(str(file.attrs.get("encoder", "unknown")), slide_id)
            if x.ndim != 2 or len(x) != len(xy):
                faults.add(
                    f"{path_of[slide_id].name}: {x.shape} features do not fit {xy.shape} coordinates: extract it again."
                )
                continue
            if not np.isfinite(x).all():
                faults.add(f"{path_of[slide_id].name} holds features that are not finite numbers: extract it again.")
                continue
            if features and x.shape[1] != features[0].shape[1]:
                faults.add(
                    f"{path_of[slide_id].name} has {x.shape[1]} features a tile where the slides before it have "
                    f"{features[0].shape[1]}: extract all slides with one encoder."
                )
                continue
            features.append(x)
            tiles.append(
                pd.DataFrame({"slide_id": slide_id, "tile": np.arange(len(x)), "x_px": xy[:, 0], "y_px": xy[:, 1]})
            )
            size += len(x)
        sizes.append(size)
    if len(encoders) > 1:
        named = ", ".join(f"{name} (for example {slide})" for name, slide in encoders.items())
        faults.add(f"The feature files come from different encoders: {named}. Extract all slides with one encoder.")
    if not features and not faults:
        faults.add(
            "No feature file belongs to any of these patients: run 02_features, and check the names in slides.csv."
        )
    faults.raise_if_any("The tile features cannot be read")
    return Bags(
        tuple(patient_ids),
        np.concatenate(features),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        pd.concat(tiles, ignore_index=True),
        next(iter(encoders)),
    )
