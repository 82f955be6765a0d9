"""Hospitals that differ, drawn without slides: **simulated feature bags** straight from a patient's severity.

A patient has a severity; some of the 16 features of the patient's tiles rise with it, tumour size does a little, and the
hazard of metastasis is exponential in it. Hospitals differ by the knobs of a `World`: every hospital adds its own constant
to all its features (stain), draws its severities around its own mean (case mix), or has more or fewer patients (imbalance).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.seeds import rng
from sarcnet.federated.hospital_folder import write_hospital
from sarcnet.model.crossval import make_folds
from sarcnet.model.protocol import Protocol

FEATURES, TILES = 16, 6


@dataclass(frozen=True)
class SimulatedSites:
    """One setting of the knobs. patients: of all hospitals; hospitals: 2 to 10; imbalance: share of the first hospital,
    the others share the rest alike (0: all alike); stain: length of a hospital's constant, per feature, in SD of a
    tile's noise; case_mix: distance of the extreme hospitals' mean severities, in SD of severity."""

    patients: int = 240
    hospitals: int = 2
    imbalance: float = 0.0
    stain: float = 0.0
    case_mix: float = 0.0

    def __post_init__(self) -> None:
        faults = ErrorCollector()
        if not 2 <= self.hospitals <= 10:
            faults.add(f"hospitals is {self.hospitals}: give 2 to 10.")
        if not 0 <= self.imbalance < 1:
            faults.add(f"imbalance is {self.imbalance}: give the largest hospital's share, below 1.")
        if min(self.sizes(), default=0) < 20:
            faults.add(
                f"The smallest hospital has {min(self.sizes(), default=0)} patients: 20 are needed for two folds."
            )
        faults.raise_if_any("These hospitals cannot be simulated")

    def sizes(self) -> list[int]:
        """Patients of each hospital."""
        first = round(self.patients * (self.imbalance or 1 / max(self.hospitals, 1)))
        rest = np.array_split(np.arange(self.patients - first), max(self.hospitals - 1, 1))
        return [first, *(len(part) for part in rest)]


@dataclass(frozen=True)
class Cohort:
    """Tables and feature files of one simulated cohort."""

    table: pd.DataFrame
    slides: pd.DataFrame
    features: dict[str, Path]


def make_cohort(world: SimulatedSites, folder: Path, *, seed: int) -> Cohort:
    """Draw patients, outcomes and tile features; a hospital's draws depend on the seed and its number only."""
    direction = rng(seed, "direction").normal(size=FEATURES) / np.sqrt(FEATURES)
    means = np.linspace(-0.5, 0.5, world.hospitals) * world.case_mix
    rows, features = [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for h, size in enumerate(world.sizes()):
        centre = f"H{h:02d}"
        generator = rng(seed, "hospital", h)
        shift = generator.normal(size=FEATURES) * world.stain
        for i in range(size):
            severity = generator.normal() + means[h]
            tiles = 1.5 * severity * direction + shift + generator.normal(size=(TILES, FEATURES))
            name = f"{centre}-{i:03d}"
            features[name] = folder / f"{name}.h5"
            with h5py.File(features[name], "w") as file:
                file["features"] = tiles.astype(np.float32)
                file["coords"] = np.zeros((TILES, 2), np.int64)
                file.attrs["encoder"] = "simulated"
            months, lost = generator.exponential(110 * np.exp(-severity)), generator.uniform(40, 140)
            row = {"patient_id": name, "centre": centre, "size_mm": 80 + 20 * (0.5 * severity + generator.normal())}
            rows.append(row | {"mfs_months": min(months, lost), "mfs_event": int(months <= lost)})
    table = pd.DataFrame(rows)
    return Cohort(table, pd.DataFrame({"slide_id": table["patient_id"], "patient_id": table["patient_id"]}), features)


def protocol_of(table: pd.DataFrame, *, epochs: int, seed: int) -> Protocol:
    """The study's network, smaller, under two folds."""
    return Protocol(
        seed=seed,
        folds=2,
        repeats=1,
        centres=tuple(sorted(set(table["centre"]))),
        clinical_variables=("size_mm",),
        hazard_edges_months=(12.0, 24.0, 36.0, 60.0),
        horizon_months=60.0,
        encoder="simulated",
        feature_dim=FEATURES,
        embedding_dim=8,
        epochs=epochs,
        batch_patients=32,
        learning_rate=0.01,
        weight_decay=0.1,
        attention_dim=4,
        tiles_per_bag=0,
        embedding_rate=1.0,
    )


@dataclass(frozen=True)
class Drawn:
    """A simulated cohort, how it is trained, and what each hospital has in its folder."""

    cohort: Cohort
    protocol: Protocol
    folds: pd.DataFrame
    hospitals: dict[str, Path]


def write_cohort(world: SimulatedSites, folder: Path, *, epochs: int, seed: int) -> Drawn:
    """Draw a cohort and give each hospital its own folder."""
    cohort = make_cohort(world, folder / "features", seed=seed)
    protocol = protocol_of(cohort.table, epochs=epochs, seed=seed)
    folds = make_folds(cohort.table, folds=protocol.folds, repeats=protocol.repeats, seed=seed)
    tables = {"patients": cohort.table, "slides": cohort.slides, "folds": folds, "features": cohort.features}
    hospitals = {c: write_hospital(folder / "hospitals" / c, centre=c, **tables) for c in protocol.centres}
    return Drawn(cohort, protocol, folds, hospitals)
