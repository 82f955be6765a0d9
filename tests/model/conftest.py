"""Small patients with a known signal, for the tests of the model: the fixture `data` hands out the makers below."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sarcnet.model import threads
from sarcnet.model.bags import Bags
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol
from studies.bags import make_bags

VARIABLES = ("age_years", "size_mm", "histotype", "fnclcc_grade")
EDGES = (6.0, 12.0, 24.0, 60.0)


def protocol(**changes: object) -> Protocol:
    """A protocol small enough for a test; name what should differ."""
    values: dict[str, object] = {
        "seed": 7,
        "folds": 3,
        "repeats": 1,
        "centres": ("CLB", "IB"),
        "clinical_variables": VARIABLES,
        "hazard_edges_months": EDGES,
        "horizon_months": 60.0,
        "encoder": "synthetic",
        "feature_dim": 12,
        "embedding_dim": 6,
        "attention_dim": 4,
        "tiles_per_bag": 3,
        "epochs": 4,
        "batch_patients": 12,
        "learning_rate": 0.01,
        "weight_decay": 0.1,
    }
    return Protocol(**{**values, **changes})  # type: ignore[arg-type]


def make_table(clb: int = 24, ib: int = 30, *, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Patients' table and the image latent (n,) that, with the tumour's size, drives the hazard."""
    g = np.random.default_rng(seed)
    n = clb + ib
    latent = g.normal(size=n)
    size = np.exp(g.normal(np.log(80), 0.6, n))
    hazard = 0.012 * np.exp(1.2 * latent + 0.8 * (np.sqrt(size) - 9) / 3)
    event_at = g.exponential(1 / hazard)
    censored_at = g.uniform(30, 120, n)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "centre": ["CLB"] * clb + ["IB"] * ib,
            "age_years": g.normal(63, 12, n),
            "size_mm": np.where(g.random(n) < 0.1, np.nan, size),
            "histotype": g.choice(["UPS", "leiomyosarcoma", "myxofibrosarcoma"], n),
            "fnclcc_grade": g.integers(1, 4, n).astype(float),
            "mfs_months": np.minimum(event_at, censored_at),
            "mfs_event": (event_at <= censored_at).astype(int),
        }
    )
    return table, latent


def make_cohort(clb: int = 24, ib: int = 30, *, seed: int = 0, dim: int = 12) -> tuple[pd.DataFrame, Bags]:
    """Patients with bags of 0 to 6 tiles whose features carry the latent on top of noise."""
    table, latent = make_table(clb, ib, seed=seed)
    g = np.random.default_rng(seed + 1)
    direction = g.normal(size=dim)
    sizes = g.integers(2, 7, len(table))
    sizes[0] = 0
    bags = {
        patient: latent[i] * direction + g.normal(size=(sizes[i], dim)) * 0.7 + 3.0
        for i, patient in enumerate(table["patient_id"])
    }
    return table, make_bags(bags, feature_dim=dim)


def make_patients(clb: int = 24, ib: int = 30, *, seed: int = 0) -> tuple[pd.DataFrame, Patients]:
    """The same, assembled for the network."""
    table, bags = make_cohort(clb, ib, seed=seed)
    return table, assemble(table, bags)


def assemble(table: pd.DataFrame, bags: Bags) -> Patients:
    """assemble_patients with the tests' variables and edges."""
    return assemble_patients(table, bags=bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: two threads would spend their time waiting for each other."""
    with threads.one_thread():
        yield


@pytest.fixture(scope="session")
def data() -> SimpleNamespace:
    """protocol(**changes), make_table(), make_cohort(), make_patients(), assemble(table, bags)."""
    return SimpleNamespace(
        protocol=protocol,
        make_table=make_table,
        make_cohort=make_cohort,
        make_patients=make_patients,
        assemble=assemble,
    )
