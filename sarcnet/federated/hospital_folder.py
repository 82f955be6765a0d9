"""A node's data folder: all a hospital's client can read. Nothing of another hospital is in it, and nobody else opens
it.

outcome.json       the outcome for which the patients' events are coded (`sarcnet.cohort.endpoint`)
patients.parquet   its own training patients: clinical variables and outcome
folds.parquet      patient_id, repeat, fold of these patients
slides.parquet     slide_id, patient_id
features/          one HDF5 file per slide
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import FILE as OUTCOME_FILE
from sarcnet.cohort.endpoint import METASTASIS, endpoint_named, read_endpoint
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import write_json
from sarcnet.model.bags import read_bags
from sarcnet.model.crossval import make_members, training_weights
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol

if TYPE_CHECKING:
    from flwr.app import Context


def data_path(context: Context) -> Path:
    """The hospital's folder, from the node's configuration."""
    if "data-path" not in context.node_config:
        raise SarcnetError(
            "This node has no data-path in its node configuration: start it with --node-config 'data-path=\"…\"'."
        )
    return Path(str(context.node_config["data-path"]))


@dataclass(frozen=True)
class Hospital:
    """A hospital's own training patients and (n, E) 0/1: which member they train."""

    centre: str
    patients: Patients
    weights: np.ndarray


def write_hospital(
    folder: Path,
    *,
    centre: str,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    folds: pd.DataFrame,
    features: Mapping[str, Path],
    outcome: str = METASTASIS.name,
    link: bool = True,
) -> Path:
    """Create a node's data folder, in place of an older one; only rows and files of ``centre`` go in.

    Args:
        folder: where; replaced if it is there.
        centre: name of the hospital.
        patients: patient_id, centre, clinical variables and outcome, of all hospitals.
        slides: slide_id, patient_id, of all hospitals.
        folds: patient_id, repeat, fold, of all hospitals.
        features: slide_id → HDF5 file.
        outcome: name of the one for which the events of ``patients`` are coded.
        link: whether feature files are hard links where the disk allows it; copies elsewhere.

    Returns:
        The folder.

    Raises:
        SarcnetError: there is no patient of this centre.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "features").mkdir(parents=True)
    own = patients.loc[patients["centre"] == centre].reset_index(drop=True)
    if own.empty:
        raise SarcnetError(f"There is no patient of centre '{centre}': a hospital without patients cannot take part.")
    is_own = slides["patient_id"].isin(own["patient_id"])
    slides.loc[is_own, ["slide_id", "patient_id"]].to_parquet(folder / "slides.parquet", index=False)
    folds.loc[folds["patient_id"].isin(own["patient_id"])].to_parquet(folder / "folds.parquet", index=False)
    for slide_id in slides.loc[is_own, "slide_id"]:
        if slide_id in features:
            place = _link if link else shutil.copyfile
            place(features[slide_id], folder / "features" / f"{slide_id}.h5")
    own.to_parquet(folder / "patients.parquet", index=False)
    write_json(folder / OUTCOME_FILE, endpoint_named(outcome).to_dict())
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _read(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """One of a hospital's tables; raises SarcnetError when it cannot be read."""
    try:
        return pd.read_parquet(folder / f"{name}.parquet", columns=columns)
    except (OSError, ValueError) as error:
        raise SarcnetError(
            f"{folder}/{name}.parquet cannot be read ({error}): create the folder with `sarcnet hospital create`."
        ) from error


def read_centre(folder: Path) -> str:
    """Name of the hospital whose folder this is."""
    centres = sorted(set(_read(folder, "patients", columns=["centre"])["centre"]))
    if len(centres) != 1:
        raise SarcnetError(
            f"The hospital's folder {folder} holds patients of {centres}: one folder is for one hospital."
        )
    return str(centres[0])


def read_hospital(folder: Path, *, protocol: Protocol) -> Hospital:
    """Read a hospital's folder under a protocol.

    Raises SarcnetError when a table cannot be read, or its outcome or its features are not those the protocol was made
    for.
    """
    centre = read_centre(folder)
    table = _read(folder, "patients")
    coded, agreed = read_endpoint(folder / OUTCOME_FILE), endpoint_named(protocol.outcome)
    if coded != agreed:
        raise SarcnetError(
            f"The patients' events at {centre} are coded for the outcome '{coded.name}' ({coded.event}), the protocol "
            f"predicts '{agreed.name}' ({agreed.event}): set outcome to {agreed.name} in this hospital's profile, run "
            "00_cohort again and create the folder again."
        )
    strange = sorted(set(table["mfs_event"].dropna()) - {0, *agreed.codes})
    if strange:
        raise SarcnetError(
            f"The patients' table at {centre} holds mfs_event {strange}, which the outcome '{agreed.name}' does not know: "
            "create the folder again with `sarcnet hospital create`."
        )
    bags = read_bags(
        sorted((folder / "features").glob("*.h5")),
        slides=_read(folder, "slides"),
        patient_ids=[str(p) for p in table["patient_id"]],
    )
    if bags.feature_dim != protocol.feature_dim:
        raise SarcnetError(
            f"The tiles at {centre} have {bags.feature_dim} features, the protocol says {protocol.feature_dim} "
            f"({protocol.encoder}): extract the slides with {protocol.encoder}."
        )
    patients = assemble_patients(
        table,
        bags=bags,
        clinical_variables=protocol.clinical_variables,
        hazard_edges_months=protocol.hazard_edges_months,
    )
    members = make_members("", folds=protocol.folds, repeats=protocol.repeats)
    weights = training_weights(
        read_folds(folder),
        patient_ids=patients.patient_ids,
        centres=patients.centres,
        members=members,
    )
    return Hospital(centre, patients, weights)


def read_folds(folder: Path) -> pd.DataFrame:
    """patient_id, repeat, fold of the hospital's patients."""
    return _read(folder, "folds")


def read_outcome(folder: Path) -> pd.DataFrame:
    """patient_id, centre, mfs_months, mfs_event of the hospital's patients."""
    return _read(folder, "patients", columns=["patient_id", "centre", "mfs_months", "mfs_event"])


def without_names(text: str, *, folder: Path) -> str:
    """A message without this hospital's patients and slides and without the path of its folder.

    What may leave of an error.
    """
    text = text.replace(str(folder), "the hospital's folder")
    for name, column in (("slides", "slide_id"), ("patients", "patient_id"), ("slides", "patient_id")):
        path = folder / f"{name}.parquet"
        try:
            values = {str(v) for v in pd.read_parquet(path, columns=[column])[column]}
        except (OSError, ValueError):
            continue
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, f"({column.removesuffix('_id')})")
    return text
