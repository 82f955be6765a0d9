"""Two hospitals that fit into a second: random tiles in which one direction raises the hazard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from sarcnet.federated.config import FederationConfig
from sarcnet.federated.hospital_folder import write_hospital
from sarcnet.model.bags import read_bags
from sarcnet.model.crossval import make_folds
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol

PATIENTS = {"CLB": 23, "IB": 31}  # primes beyond any axis of the network: nobody can mistake a patient axis for another
PROTOCOL = Protocol(
    seed=3,
    folds=2,
    repeats=1,
    centres=tuple(PATIENTS),
    clinical_variables=("age_years", "size_mm", "depth"),
    hazard_edges_months=(6.0, 12.0, 24.0, 60.0),
    horizon_months=60.0,
    encoder="random",
    feature_dim=11,
    embedding_dim=5,
    epochs=4,
    batch_patients=8,
    learning_rate=0.01,
    weight_decay=0.01,
    attention_dim=3,
    tiles_per_bag=2,
)


@dataclasses.dataclass(frozen=True)
class Cohort:
    """All hospitals' tables and feature files, their folders, and what a pooled study would see."""

    table: pd.DataFrame
    slides: pd.DataFrame
    features: dict[str, Path]
    folder: Path

    def folds(self, protocol: Protocol = PROTOCOL) -> pd.DataFrame:
        return make_folds(self.table, folds=protocol.folds, repeats=protocol.repeats, seed=protocol.seed)

    def hospitals(self, protocol: Protocol = PROTOCOL) -> dict[str, Path]:
        tables = {
            "patients": self.table,
            "slides": self.slides,
            "folds": self.folds(protocol),
            "features": self.features,
        }
        return {
            c: write_hospital(self.folder / "hospitals" / c, centre=c, **tables)
            for c in sorted(set(self.table["centre"]))
        }

    def patients(self, protocol: Protocol = PROTOCOL) -> Patients:
        bags = read_bags(self.features.values(), slides=self.slides, patient_ids=list(self.table["patient_id"]))
        return assemble_patients(
            self.table,
            bags=bags,
            clinical_variables=protocol.clinical_variables,
            hazard_edges_months=protocol.hazard_edges_months,
        )

    def as_one_hospital(self) -> Cohort:
        return dataclasses.replace(self, table=self.table.assign(centre="CLB"), folder=self.folder / "one")


def make_cohort(folder: Path) -> Cohort:
    generator = np.random.default_rng(0)
    direction = generator.normal(size=PROTOCOL.feature_dim) / 3
    rows: list[dict[str, Any]] = []
    features: dict[str, Path] = {}
    (folder / "features").mkdir(parents=True)
    for centre, size in PATIENTS.items():
        for i in range(size):
            patient = f"{centre}-{i:03d}"
            latent = generator.normal(size=PROTOCOL.feature_dim)
            tiles = latent + generator.normal(size=(generator.integers(2, 5), PROTOCOL.feature_dim))
            features[f"slide-{patient}"] = folder / "features" / f"slide-{patient}.h5"
            with h5py.File(features[f"slide-{patient}"], "w") as file:
                file["features"] = tiles.astype(np.float32)
                file["coords"] = np.zeros((len(tiles), 2), np.int64)
                file.attrs["encoder"] = PROTOCOL.encoder
            time = -np.log(generator.random()) * 40 * np.exp(-latent @ direction)
            follow_up = generator.uniform(30, 120)
            rows.append(
                {
                    "patient_id": patient,
                    "centre": centre,
                    "age_years": generator.normal(63, 12),
                    "size_mm": np.nan if i == 3 else generator.uniform(20, 200),
                    "depth": "deep" if generator.random() < 0.8 else "superficial",
                    "mfs_months": min(time, follow_up),
                    "mfs_event": int(time <= follow_up),
                }
            )
    table = pd.DataFrame(rows)
    slides = pd.DataFrame({"slide_id": list(features), "patient_id": table["patient_id"]})
    return Cohort(table, slides, features, folder)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return make_cohort(tmp_path / "cohort")


@pytest.fixture
def make_plan() -> Callable[..., FederationConfig]:
    def make(*, rounds: int = 2, local_epochs: int = 1, **changes: Any) -> FederationConfig:
        return FederationConfig(dataclasses.replace(PROTOCOL, **changes), rounds=rounds, local_epochs=local_epochs)

    return make
