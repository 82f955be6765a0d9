"""Patients as the network sees them (bag, clinical values, outcome in intervals, row by row) and the batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.seeds import rng
from sarcnet.model.bags import Bags
from sarcnet.model.clinical import clinical_values
from sarcnet.model.hazard import Intervals, intervals

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Patients:
    """n patients, aligned: bags, clinical (n, p) float32 with NaN, outcome on K intervals, centre."""

    bags: Bags
    clinical: np.ndarray
    outcome: Intervals
    centres: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bags)

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """The n names, in order."""
        return self.bags.patient_ids

    def select(self, rows: np.ndarray) -> Patients:
        """These rows (integers or a mask), in this order."""
        rows = np.arange(len(self))[rows]
        ids = [self.patient_ids[i] for i in rows]
        outcome = self.outcome.select(rows)
        return Patients(self.bags.select(ids), self.clinical[rows], outcome, tuple(self.centres[i] for i in rows))

    def of_centre(self, centre: str) -> Patients:
        """One hospital's own patients."""
        rows = np.flatnonzero(np.asarray(self.centres) == centre)
        if len(rows) == 0:
            faults = ErrorCollector()
            faults.add(
                f"There is no patient of centre '{centre}': the centres are {', '.join(sorted(set(self.centres)))}."
            )
            faults.raise_if_any("A hospital is missing")
        return self.select(rows)


def assemble_patients(
    table: pd.DataFrame, *, bags: Bags, clinical_variables: Sequence[str], hazard_edges_months: Sequence[float]
) -> Patients:
    """Align a patients' table with its bags.

    Args:
        table: one row per patient: patient_id, centre, the clinical variables, and mfs_months, mfs_event if the outcome is
            known. Without these two columns the outcome is unknown, which is enough to predict.
        bags: tile features of at least these patients (`read_bags`).
        clinical_variables: columns of the table that the clinical branch sees.
        hazard_edges_months: (K,) upper edges of the intervals, months.

    Returns:
        The patients in the order of the table.

    Raises:
        SarcnetError: a missing column, a missing centre, a patient who comes twice, or a clinical value that is not
            understood; all of them are named.
    """
    faults = ErrorCollector()
    for name in ("patient_id", "centre"):
        if name not in table.columns:
            faults.add(f"The patients' table has no column '{name}': add it.")
    if not faults:
        for patient in table.loc[table["patient_id"].duplicated(), "patient_id"]:
            faults.add(f"Patient {patient} comes twice: keep one row.")
        for patient in table.loc[table["centre"].isna(), "patient_id"]:
            faults.add(f"Patient {patient} has no centre: say which hospital the patient belongs to.")
    faults.raise_if_any("The patients' table cannot be used")
    unknown = np.full(len(table), np.nan)
    known = {"mfs_months", "mfs_event"} <= set(table.columns)
    months = table["mfs_months"].to_numpy(dtype=float, na_value=np.nan) if known else unknown
    event = table["mfs_event"].to_numpy(dtype=float, na_value=np.nan) if known else unknown
    return Patients(
        bags=bags.select([str(p) for p in table["patient_id"]]),
        clinical=clinical_values(table, variables=clinical_variables).astype(np.float32),
        outcome=intervals(months, event, edges_months=hazard_edges_months),
        centres=tuple(str(c) for c in table["centre"]),
    )


class PatientBatches(Dataset[Batch]):
    """Padded batches of patients. An item is asked for by (epoch, rows); epoch -1 shows all tiles, others a sample of
    `tiles_per_bag`.

    A batch: index (B,), tiles (B, T, d), mask (B, T) True on real tiles, clinical (B, p), the outcome's arrays (at_risk,
    event, death_at_risk and death (B, K), months and cause (B,)), weight (B, E).
    """

    def __init__(
        self, patients: Patients, *, weights: np.ndarray, seed: int, tiles_per_bag: int = 0, image: bool = True
    ) -> None:
        self.patients, self.seed, self.tiles_per_bag, self.image = patients, seed, tiles_per_bag, image
        self.weights = weights.astype(np.float32)
        self.sampled: tuple[int, np.ndarray] = (-1, np.zeros(0))

    def tile_rows(self, epoch: int, row: int) -> np.ndarray:
        """Tiles that patient number ``row`` shows in this epoch: positions in the flat features, in order of the bag."""
        start, stop = self.patients.bags.offsets[row : row + 2]
        if epoch < 0 or not self.tiles_per_bag or stop - start <= self.tiles_per_bag:
            return np.arange(start, stop)
        if self.sampled[0] != epoch:
            self.sampled = (epoch, rng(self.seed, "tiles", epoch).random(len(self.patients.bags.features)))
        keys = self.sampled[1][start:stop]
        return start + np.sort(np.argpartition(keys, self.tiles_per_bag)[: self.tiles_per_bag])

    def __getitem__(self, item: tuple[int, np.ndarray]) -> Batch:
        epoch, rows = item
        p = self.patients
        shown = [self.tile_rows(epoch, r) if self.image else np.arange(0) for r in rows]
        longest = max((len(s) for s in shown), default=0)
        tiles = np.zeros((len(rows), longest, p.bags.feature_dim if self.image else 0), np.float32)  # (B, T, d)
        mask = np.zeros((len(rows), longest), bool)  # (B, T)
        for i, s in enumerate(shown):
            if len(s):
                tiles[i, : len(s)] = p.bags.features[s]
                mask[i, : len(s)] = True
        arrays = {
            "index": np.asarray(rows, np.int64),
            "tiles": tiles,
            "mask": mask,
            "clinical": p.clinical[rows],
            **p.outcome.arrays(rows),
            "weight": self.weights[rows],
        }
        return {name: torch.from_numpy(a) for name, a in arrays.items()}


class ShuffledBatches(Sampler[tuple[int, np.ndarray]]):
    """Every epoch all patients in a new order, cut into batches of nearly equal size; the order depends on the seed and
    the epoch only."""

    def __init__(self, size: int, *, batch_patients: int, seed: int, first_epoch: int = 0) -> None:
        self.size, self.seed, self.first_epoch = size, seed, first_epoch
        self.count = max(1, round(size / batch_patients))
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = self.first_epoch + epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        order = rng(self.seed, "batches", self.epoch).permutation(self.size)
        return iter([(self.epoch, rows) for rows in np.array_split(order, self.count)])


def training_loader(batches: PatientBatches, *, batch_patients: int, first_epoch: int = 0) -> DataLoader[Batch]:
    """The one loader all members share."""
    sampler = ShuffledBatches(
        len(batches.patients), batch_patients=batch_patients, seed=batches.seed, first_epoch=first_epoch
    )
    return DataLoader(batches, sampler=sampler, batch_size=None)


def all_tiles(batches: PatientBatches, *, batch_patients: int = 32) -> Iterator[Batch]:
    """All patients in order with all their tiles, for prediction."""
    n = len(batches.patients)
    for start in range(0, n, batch_patients):
        yield batches[(-1, np.arange(start, min(start + batch_patients, n)))]
