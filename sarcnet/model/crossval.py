"""Repeated cross-validation by patient, stratified by hospital and event, and the members that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import METASTASIS
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.seeds import rng


@dataclass(frozen=True)
class Member:
    """One network of a stack: trained on every fold of ``repeat`` but ``fold``, at ``centre`` alone ('' = at all)."""

    model: str
    repeat: int
    fold: int
    centre: str = ""


def make_folds(table: pd.DataFrame, *, folds: int, repeats: int, seed: int) -> pd.DataFrame:
    """Split patients into folds, within each hospital by event.

    The patients of a hospital with and without metastasis are shuffled apart and assigned in turn, so folds differ by at
    most one patient of each kind. The draw of a hospital depends on its own patients only: each hospital can make its
    folds alone and gets the same.

    Args:
        table: patient_id, centre, mfs_months, mfs_event; patients without an outcome are left out.
        folds: number of folds, at least 2.
        repeats: times that the patients are split again.
        seed: of the split.

    Returns:
        patient_id, centre, repeat, fold: one row per patient and repeat.

    Raises:
        SarcnetError: a hospital has too few patients of either kind to fill the folds.
    """
    known = table.dropna(subset=["mfs_months", "mfs_event"])
    faults = ErrorCollector()
    if folds < 2:
        faults.add(f"folds is {folds}: cross-validation needs at least 2.")
    if known.empty:
        faults.add("No patient has an outcome (mfs_months and mfs_event): nothing can be learnt from this cohort.")
    for centre, rows in known.groupby("centre"):
        events = int((rows["mfs_event"] == METASTASIS).sum())
        if events < folds:
            what = "everybody is censored" if events == 0 else f"only {events} of {len(rows)} patients had the event"
            faults.add(
                f"Centre {centre}: {what}; each of the {folds} folds needs one. Lower folds, or leave the centre out."
            )
        if len(rows) - events < folds:
            faults.add(
                f"Centre {centre}: only {len(rows) - events} of {len(rows)} patients stayed without the event "
                f"(one class only); each of the {folds} folds needs one. Lower folds, or leave the centre out."
            )
    faults.raise_if_any("The cohort cannot be cross-validated")
    parts: list[pd.DataFrame] = []
    for repeat in range(repeats):
        for centre, rows in known.sort_values("patient_id").groupby("centre", sort=True):
            generator = rng(seed, "folds", str(centre), repeat)
            event = (rows["mfs_event"] == METASTASIS).to_numpy()
            order = np.concatenate([generator.permutation(np.flatnonzero(event == kind)) for kind in (True, False)])
            fold = np.empty(len(rows), dtype=np.int64)
            fold[order] = np.arange(len(rows)) % folds
            parts.append(
                pd.DataFrame({"patient_id": rows["patient_id"], "centre": centre, "repeat": repeat, "fold": fold})
            )
    return pd.concat(parts, ignore_index=True)


def make_members(model: str, *, folds: int, repeats: int, centre: str = "") -> tuple[Member, ...]:
    """All repeats × folds of one model, repeat by repeat."""
    return tuple(Member(model, r, f, centre) for r in range(repeats) for f in range(folds))


def fold_matrix(folds: pd.DataFrame, *, patient_ids: Sequence[str], members: Sequence[Member]) -> np.ndarray:
    """Which members leave which patients out.

    Args:
        folds: patient_id, repeat, fold (`make_folds`).
        patient_ids: n patients.
        members: E networks.

    Returns:
        (n, E) int: 1 where the patient is in the fold that the member leaves out, 0 where in another, -1 where the patient
        is in no fold (no outcome).
    """
    table = folds.pivot(index="patient_id", columns="repeat", values="fold").reindex(list(patient_ids))
    fold = table[[m.repeat for m in members]].to_numpy()  # (n, E), NaN: not dealt
    left_out = np.asarray([m.fold for m in members])[None, :]
    return np.where(np.isnan(fold), -1, (fold == left_out).astype(int))


def mean_over(values: np.ndarray, use: np.ndarray) -> np.ndarray:
    """(n,) mean of (n, E) over the members chosen for each patient by `use` (n, E) of 0 and 1."""
    return (values.astype(np.float64) * use).sum(axis=1) / use.sum(axis=1)


def training_weights(
    folds: pd.DataFrame, *, patient_ids: Sequence[str], centres: Sequence[str], members: Sequence[Member]
) -> np.ndarray:
    """(n, E) float32: 1 where patient i trains member e, else 0 (its held-out fold, another hospital, or no outcome)."""
    at_its_hospital = np.asarray([[m.centre in ("", c) for m in members] for c in centres])
    return ((fold_matrix(folds, patient_ids=patient_ids, members=members) == 0) & at_its_hospital).astype(np.float32)


def out_of_fold(
    risks: np.ndarray,
    *,
    folds: pd.DataFrame,
    patient_ids: Sequence[str],
    centres: Sequence[str],
    members: Sequence[Member],
) -> pd.DataFrame:
    """Tidy out-of-fold predictions: patient_id, centre, model, repeat, fold, risk; each patient once per repeat, by the
    member whose left-out fold holds the patient.

    risks: (n, E). A model of one hospital alone predicts the other hospital's patients by the same rule: by the
    member of their fold.
    """
    rows, columns = np.nonzero(fold_matrix(folds, patient_ids=patient_ids, members=members) == 1)
    member = pd.DataFrame([asdict(m) for m in members]).iloc[columns].reset_index(drop=True)
    frame = pd.DataFrame(
        {
            "patient_id": np.asarray(patient_ids, dtype=object)[rows],
            "centre": np.asarray(centres, dtype=object)[rows],
            "model": member["model"],
            "repeat": member["repeat"],
            "fold": member["fold"],
            "risk": risks[rows, columns],
        }
    )
    return frame.sort_values(["model", "repeat", "patient_id"], ignore_index=True)
