"""Reading a cohort's folder, one sub-folder a hospital, with every fault of every file in one message."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import METASTASIS, Endpoint, endpoint_named
from sarcnet.cohort.schema import (
    PATIENT_COLUMNS,
    PATIENTS,
    SLIDES,
    Column,
    check_identifiers,
    check_outcomes,
    check_slide_files,
    check_table,
)
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.paths import resolve, shown

KINDS = ("simulated", "public", "private")
NO_HOSPITAL = ("truth",)


@dataclass(frozen=True)
class Cohort:
    """A checked cohort.

    `patients`: columns of patients.csv and centre. `slides`: slide_id, patient_id, centre, file (relative to the
    repository where it lies inside, POSIX), mpp_override (float, NaN where the file shall speak), stain. `endpoint`: the
    outcome for which the patients' events are coded.
    """

    kind: str
    patients: pd.DataFrame
    slides: pd.DataFrame
    endpoint: Endpoint = METASTASIS

    def coded_for(self, endpoint: Endpoint) -> Cohort:
        """The cohort with the events of all patients coded for an outcome."""
        return replace(self, patients=endpoint.code(self.patients), endpoint=endpoint)

    @property
    def training(self) -> pd.DataFrame:
        """Patients of the training series, with their outcomes."""
        return self.patients[self.patients["series"] == "training"].reset_index(drop=True)

    @property
    def validation(self) -> pd.DataFrame:
        """Patients of the validation series, with outcomes: to be written away unseen."""
        return self.patients[self.patients["series"] == "validation"].reset_index(drop=True)

    @property
    def without_outcomes(self) -> pd.DataFrame:
        """All patients, the validation series with its outcomes blanked: what may be shown before the evaluation."""
        hidden = self.patients["series"] == "validation"
        return self.patients.assign(
            mfs_months=self.patients["mfs_months"].mask(hidden), mfs_event=self.patients["mfs_event"].mask(hidden)
        )

    @property
    def files(self) -> dict[str, Path]:
        """slide_id -> slide file."""
        return {
            slide_id: resolve(file) for slide_id, file in zip(self.slides["slide_id"], self.slides["file"], strict=True)
        }

    def example_slides(self, *, per_centre: int, last: Collection[str] = ()) -> pd.DataFrame:
        """Slides of training patients, of different histotypes first.

        Args:
            per_centre: slides per hospital, at most.
            last: slide_ids to be taken, within their histotype, only after all others.

        Returns:
            Rows of `slides` with the patients' series, histotype and fnclcc_grade.
        """
        patients = self.training[["patient_id", "series", "histotype", "fnclcc_grade"]]
        table = self.slides.merge(patients, on="patient_id")
        table = table.assign(last=table["slide_id"].isin(last)).sort_values(["last", "slide_id"])
        table["turn"] = table.groupby(["centre", "histotype"], dropna=False).cumcount()
        chosen = table.sort_values(["centre", "turn", "slide_id"]).groupby("centre").head(per_centre)
        return chosen.drop(columns="last").reset_index(drop=True)


def read_cohort(folder: Path, *, kind: str, outcome: str = METASTASIS.name) -> Cohort:
    """Read and check a cohort.

    Args:
        folder: holds one sub-folder a hospital (patients.csv, slides.csv, slides/…) and cohort.json {"kind": …}.
        kind: what the cohort is said to be; cohort.json must say the same, or be absent for a private cohort.
        outcome: "metastasis" or "mfs", the event that the patients' events are coded for.

    Returns:
        The patients of all hospitals with their events, the slides and their files.

    Raises:
        SarcnetError: with every fault of every file, row and column.
    """
    faults = ErrorCollector()
    _check_card(folder, kind=kind, faults=faults)
    hospitals = sorted(path.parent for path in folder.glob("*/patients.csv") if path.parent.name not in NO_HOSPITAL)
    if not hospitals:
        faults.add(
            f"{shown(folder)} has no hospital: make a folder for each, with patients.csv, slides.csv and slides/."
        )
    parts = [_read_hospital(hospital, faults=faults) for hospital in hospitals]
    patients, slides = (stack([part[k] for part in parts]) for k in (0, 1))
    for table, name in ((patients, "patient_id"), (slides, "slide_id")):
        if len(parts) > 1:
            for value, group in table.groupby(name):
                if group["centre"].nunique() > 1:
                    at = " and ".join(sorted(group["centre"].unique()))
                    faults.add(f"{name} '{value}' is used by {at}; put the hospital's name in front of it.")
    faults.raise_if_any(f"The cohort in {shown(folder)} cannot be used")
    return Cohort(kind, patients, slides).coded_for(endpoint_named(outcome))


def stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the same columns under each other. Unlike pd.concat, an empty or all-missing column keeps its type."""
    columns = list(tables[0].columns) if tables else []
    return pd.DataFrame({name: np.concatenate([table[name].to_numpy() for table in tables]) for name in columns})


def _check_card(folder: Path, *, kind: str, faults: ErrorCollector) -> None:
    if kind not in KINDS:
        faults.add(f"cohort_kind is '{kind}'; write one of {', '.join(KINDS)}.")
    file = folder / "cohort.json"
    if not file.is_file():
        if kind != "private":
            faults.add(
                f'{shown(file)} is missing: write {{"kind": "{kind}"}} into it, so that nobody mistakes the data.'
            )
        return
    try:
        said = json.loads(file.read_text(encoding="utf-8")).get("kind")
    except (ValueError, AttributeError):
        faults.add(f'{shown(file)} is not JSON with a "kind"; write {{"kind": "{kind}"}} into it.')
        return
    if said != kind:
        faults.add(f"{shown(file)} says that the cohort is {said}, cohort_kind says {kind}; correct the wrong one.")


def _read_hospital(hospital: Path, *, faults: ErrorCollector) -> tuple[pd.DataFrame, pd.DataFrame]:
    centre = hospital.name
    check_identifiers(pd.Series([centre]), name="folder name", where=centre, faults=faults)
    raw = _read_csv(hospital / "patients.csv", columns=PATIENTS, faults=faults)
    where = f"{centre}/patients.csv"
    patients = check_table(raw, columns=PATIENTS, where=where, faults=faults)
    check_outcomes(patients, where=where, faults=faults)
    raw = _read_csv(hospital / "slides.csv", columns=SLIDES, faults=faults)
    where = f"{centre}/slides.csv"
    slides = check_table(raw, columns=SLIDES, where=where, faults=faults)
    known = {patient for patient in patients["patient_id"] if isinstance(patient, str)}
    check_slide_files(slides, patients=known, folder=hospital, where=where, faults=faults)
    files = [shown(hospital / file) if isinstance(file, str) else None for file in slides["file"]]
    slides = slides.assign(centre=centre, file=files).rename(columns={"mpp": "mpp_override"})
    slides = slides[["slide_id", "patient_id", "centre", "file", "mpp_override", "stain"]]
    return patients[list(PATIENT_COLUMNS)].assign(centre=centre), slides


def _read_csv(path: Path, *, columns: tuple[Column, ...], faults: ErrorCollector) -> pd.DataFrame:
    """The table as strings; empty, with a fault noted, when the file is no CSV."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig", sep=",")
        if not isinstance(table.index, pd.RangeIndex):  # pandas then takes the first column for row names
            faults.add(f"{shown(path)}: the rows have more cells than the header; take out the comma at their end.")
        elif len(table.columns) == 1 and ";" in str(table.columns[0]):
            faults.add(f"{shown(path)} is parted by semicolons; export it with commas and with decimal points.")
        else:
            return table
    except FileNotFoundError:
        faults.add(f"{shown(path)} is missing: write it with the columns {', '.join(c.name for c in columns)}.")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        said = str(error).strip().splitlines()[0]
        faults.add(f"{shown(path)} is not a comma-separated table in UTF-8 ({said}); export it again.")
    return pd.DataFrame({column.name: pd.Series(dtype=str) for column in columns})
