"""What does it cost to train all folds together? `python -m sarcnet.model.bench` prints a table.

Noise stands for features: the time does not depend on what the numbers mean.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from sarcnet.compendium.seeds import rng
from sarcnet.model.bags import make_bags
from sarcnet.model.crossval import Member, make_folds, make_members, training_weights
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training import fit


def noise_cohort(*, patients: int, tiles: int, feature_dim: int) -> tuple[pd.DataFrame, Patients]:
    """Table and patients of two centres without any signal, `tiles` tiles each."""
    g = rng(0, "bench")
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i:04d}" for i in range(patients)],
            "centre": np.where(np.arange(patients) < patients * 0.36, "CLB", "IB"),
            "size_mm": g.uniform(20, 200, patients),
            "mfs_months": g.uniform(0, 120, patients),
            "mfs_event": g.integers(0, 2, patients),
        }
    )
    bags = make_bags({p: g.normal(size=(tiles, feature_dim)).astype(np.float32) for p in table["patient_id"]})
    return table, assemble_patients(
        table, bags=bags, clinical_variables=["size_mm"], hazard_edges_months=(6, 12, 18, 24, 36, 48, 60)
    )


def measure(
    *, patients: int = 611, tiles: int = 48, feature_dim: int = 1280, folds: int = 4, repeats: int = 5, epochs: int = 5
) -> pd.DataFrame:
    """Seconds per epoch for one network alone and for all folds × repeats in one stack.

    Columns networks, seconds_per_epoch, per_network, speed_up.
    """
    table, cohort = noise_cohort(patients=patients, tiles=tiles, feature_dim=feature_dim)
    protocol = Protocol(
        seed=0,
        folds=folds,
        repeats=repeats,
        centres=("CLB", "IB"),
        clinical_variables=("size_mm",),
        hazard_edges_months=(6, 12, 18, 24, 36, 48, 60),
        horizon_months=60,
        encoder="noise",
        feature_dim=feature_dim,
        embedding_dim=32,
        epochs=epochs,
        batch_patients=32,
        learning_rate=0.003,
        weight_decay=2.0,
    )
    dealt = make_folds(table, folds=folds, repeats=repeats, seed=0)
    members = make_members("bench", folds=folds, repeats=repeats)

    def seconds(chosen: tuple[Member, ...]) -> float:
        weights = training_weights(dealt, patient_ids=cohort.patient_ids, centres=cohort.centres, members=chosen)
        stack = build_stack(protocol, members=chosen)
        apply_statistics(stack, training_statistics(cohort, weights=weights))
        begin = time.perf_counter()
        fit(stack, cohort, weights=weights, protocol=protocol)
        return (time.perf_counter() - begin) / epochs

    seconds(members[:1])  # the first run pays for loading
    rows = [(len(chosen), seconds(chosen)) for chosen in (members[:1], members)]
    frame = pd.DataFrame(rows, columns=["networks", "seconds_per_epoch"])
    frame["per_network"] = frame["seconds_per_epoch"] / frame["networks"]
    frame["speed_up"] = frame["per_network"].iloc[0] / frame["per_network"]
    return frame


if __name__ == "__main__":
    print(measure().to_string(index=False, float_format="%.3f"))
