"""What does it cost to train all folds together? `python -m studies.benchmarks.crossval`, or `make bench-model`.

Noise stands for features: the time does not depend on what the numbers mean. Sizes are those of the published training
series and of `papermill_params/study.yaml`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from sarcnet.compendium.seeds import rng
from sarcnet.model.crossval import Member, make_folds, make_members, training_weights
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.experiment import cross_validate, study_variants
from sarcnet.model.training.lightning_module import fit
from studies.bags import make_bags

EDGES_MONTHS = (6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0)
CENTRES = ("CLB", "IB")


def noise_cohort(*, patients: int, tiles: int, feature_dim: int) -> tuple[pd.DataFrame, Patients]:
    """Table and patients of two centres without any signal, `tiles` tiles each."""
    g = rng(0, "bench")
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i:04d}" for i in range(patients)],
            "centre": np.where(np.arange(patients) < patients * 0.36, *CENTRES),
            "size_mm": g.uniform(20, 200, patients),
            "mfs_months": g.uniform(0, 120, patients),
            "mfs_event": g.integers(0, 3, patients),
        }
    )
    bags = make_bags({p: g.normal(size=(tiles, feature_dim)).astype(np.float32) for p in table["patient_id"]})
    return table, assemble_patients(table, bags=bags, clinical_variables=["size_mm"], hazard_edges_months=EDGES_MONTHS)


def study_protocol(*, feature_dim: int, folds: int = 4, repeats: int = 5, epochs: int = 30) -> Protocol:
    """The study's settings."""
    return Protocol(
        seed=0,
        folds=folds,
        repeats=repeats,
        centres=CENTRES,
        clinical_variables=("size_mm",),
        hazard_edges_months=EDGES_MONTHS,
        horizon_months=60,
        encoder="noise",
        feature_dim=feature_dim,
        embedding_dim=32,
        epochs=epochs,
        learning_rate=0.003,
        weight_decay=2.0,
    )


def together_or_alone(table: pd.DataFrame, cohort: Patients, protocol: Protocol) -> tuple[pd.DataFrame, float]:
    """Seconds per epoch for one network alone and for all folds × repeats in one stack: networks, seconds_per_epoch,
    per_network, speed_up; and the largest difference of a weight of that network between the two."""
    dealt = make_folds(table, folds=protocol.folds, repeats=protocol.repeats, seed=0)
    members = make_members("bench", folds=protocol.folds, repeats=protocol.repeats)

    def train(chosen: tuple[Member, ...]) -> tuple[float, dict[str, np.ndarray]]:
        weights = training_weights(dealt, patient_ids=cohort.patient_ids, centres=cohort.centres, members=chosen)
        stack = build_stack(protocol, members=chosen)
        apply_statistics(stack, training_statistics(cohort, weights=weights))
        begin = time.perf_counter()
        fit(stack, cohort, weights=weights, protocol=protocol)
        return (time.perf_counter() - begin) / protocol.epochs, stack.parameter_arrays()

    train(members[:1])  # the first run pays for loading
    (one, alone), (all_, stacked) = train(members[:1]), train(members)
    frame = pd.DataFrame({"networks": [1, len(members)], "seconds_per_epoch": [one, all_]})
    frame["per_network"] = frame["seconds_per_epoch"] / frame["networks"]
    frame["speed_up"] = one / frame["per_network"]
    return frame, max(float(np.abs(array[0] - stacked[name][0]).max()) for name, array in alone.items())


def full(table: pd.DataFrame, cohort: Patients, protocol: Protocol) -> pd.DataFrame:
    """Seconds for the whole repeated cross-validation of each model of notebook 03: model, seconds."""
    dealt = make_folds(table, folds=protocol.folds, repeats=protocol.repeats, seed=0)
    rows = []
    for variant in study_variants(CENTRES):
        begin = time.perf_counter()
        cross_validate(protocol, patients=cohort, folds=dealt, variant=variant)
        rows.append((variant.name, time.perf_counter() - begin))
    return pd.DataFrame(rows, columns=["model", "seconds"])


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=611)
    parser.add_argument("--tiles", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30, help="of the full cross-validation")
    given = parser.parse_args()
    feature_dim = 1280
    table, cohort = noise_cohort(patients=given.patients, tiles=given.tiles, feature_dim=feature_dim)
    frame, gap = together_or_alone(table, cohort, study_protocol(feature_dim=feature_dim, epochs=3))
    print(frame.to_string(index=False, float_format="%.3f"))
    print(f"Largest difference of a weight, trained alone and in the stack: {gap:.1e}.\n")
    whole = full(table, cohort, study_protocol(feature_dim=feature_dim, epochs=given.epochs))
    print(whole.to_string(index=False, float_format="%.1f"))
    print(f"All models, 4 folds × 5 repeats, {given.epochs} epochs, one thread: {whole['seconds'].sum():.0f} s.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
