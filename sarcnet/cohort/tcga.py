"""TCGA-SARC as a cohort: from the open clinical export of the Genomic Data Commons (GDC) to one folder a hospital.

What is taken from where (names of the export of 31 December 2025, in which every diagnosis of a case has its row):

- who: the row whose classification_of_tumor is "primary"; age, sex, margins and site stand there.
- metastasis: the first day of a follow-up of type "Distant", or of a diagnosis classified as metastasis. Death without
  one is the competing event; everybody else is censored at the last day anybody saw them. A metastasis that is noted
  without a day leaves the outcome empty.
- size: the largest of the measurements of the primary tumour by the pathologist (by the radiologist where there is
  none), in centimetres there, in millimetres here.
- FNCLCC grade: the GDC has none. A table with columns patient, fnclcc and histotype may be given; its reviewed
  histotype then goes before the GDC's.
- hospital: the tissue source site in the barcode; sites with few patients are put together as OTHERS.

*Assumptions, ours*: the study's patients are those with a tumour of limbs or trunk wall and a histotype with a complex
genomic profile. Thorax, abdomen and "trunk" count as trunk wall, pelvis does not. When chemotherapy and radiotherapy
were given is not said, so both stay empty; mitoses stay empty, as the export does not say per which area.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.cohort.schema import PATIENT_COLUMNS
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.paths import shown

DAYS_PER_MONTH = 365.25 / 12
MM_PER_CM = 10.0
NOTHING = ["'--", "", "Not Reported", "Unknown"]
CASE = "cases.submitter_id"
OTHERS = "OTHERS"
SITES = {
    "lower limb and hip": "lower_limb",
    "long bones of lower limb": "lower_limb",
    "short bones of lower limb": "lower_limb",
    "upper limb and shoulder": "upper_limb",
    "tissues of thorax": "trunk_wall",
    "tissues of abdomen": "trunk_wall",
    "tissues of trunk": "trunk_wall",
}
"""Part of site_of_resection_or_biopsy (lower case) and our site."""
HISTOTYPES = {
    "Undifferentiated sarcoma": "UPS",
    "Malignant fibrous histiocytoma": "UPS",
    "Leiomyosarcoma, NOS": "leiomyosarcoma",
    "Fibromyxosarcoma": "myxofibrosarcoma",
    "Malignant peripheral nerve sheath tumor": "MPNST",
    "Pleomorphic liposarcoma": "pleomorphic_liposarcoma",
}
"""primary_diagnosis of the GDC and our histotype."""
REVIEWED = {"UPS": "UPS", "STLMS": "leiomyosarcoma", "MFS": "myxofibrosarcoma", "MPNST": "MPNST"}
"""Histotype of the table of grades and ours; others (DDLPS, SS, ULMS) are outside the study."""
DIAMETERS = ("tumor_burden", "tumor_depth_measurement", "tumor_length_measurement", "tumor_width_measurement")
TABLES = {
    "clinical.tsv": (
        CASE,
        "demographic.age_at_index",
        "demographic.gender",
        "demographic.vital_status",
        "demographic.days_to_death",
        "diagnoses.classification_of_tumor",
        "diagnoses.diagnosis_id",
        "diagnoses.days_to_diagnosis",
        "diagnoses.metastasis_at_diagnosis",
        "diagnoses.primary_diagnosis",
        "diagnoses.residual_disease",
        "diagnoses.site_of_resection_or_biopsy",
    ),
    "follow_up.tsv": (
        CASE,
        "follow_ups.days_to_follow_up",
        "follow_ups.days_to_progression",
        "follow_ups.days_to_recurrence",
        "follow_ups.progression_or_recurrence_type",
    ),
    "pathology_detail.tsv": (
        CASE,
        "diagnoses.diagnosis_id",
        "pathology_details.measurement_type",
        "pathology_details.necrosis_percent",
        "pathology_details.necrosis_present",
        "pathology_details.tumor_burden",
        "pathology_details.tumor_depth_descriptor",
        "pathology_details.tumor_depth_measurement",
        "pathology_details.tumor_length_measurement",
        "pathology_details.tumor_width_measurement",
    ),
}


@dataclass(frozen=True)
class Tcga:
    """`patients`: columns of patients.csv and `centre`. `left_out`: patient_id, reason. `doubts`: patient_id, doubt
    (patients that are kept, with something empty that one would expect)."""

    patients: pd.DataFrame
    left_out: pd.DataFrame
    doubts: pd.DataFrame


def read_export(folder: Path) -> dict[str, pd.DataFrame]:
    """The three tables of an export as text, empty where the GDC says nothing.

    Args:
        folder: holds clinical.tsv, follow_up.tsv and pathology_detail.tsv, as the GDC portal gives them.

    Raises:
        SarcnetError: tables or columns are missing; all of them are named.
    """
    faults, tables = ErrorCollector(), {}
    for name, columns in TABLES.items():
        try:
            table = pd.read_csv(folder / name, sep="\t", dtype=str, na_values=NOTHING, keep_default_na=False)
        except FileNotFoundError:
            faults.add(
                f"{shown(folder / name)} is missing: on portal.gdc.cancer.gov choose the project TCGA-SARC, Clinical, "
                "TSV, and unpack it there."
            )
            continue
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            faults.add(f"{shown(folder / name)} is no table parted by tabs ({str(error).splitlines()[0]}).")
            continue
        for column in columns:
            if column not in table:
                faults.add(f"{shown(folder / name)}: column '{column}' is missing; export it again, with all columns.")
        tables[name] = table
    faults.raise_if_any("The export of the GDC cannot be used")
    return tables


def read_grades(path: Path) -> pd.DataFrame:
    """Table with columns patient, fnclcc (1 to 3, or empty) and, if there, histotype; one row a patient.

    Raises:
        SarcnetError: a column is missing, a patient comes twice, or a grade is none; all are named.
    """
    faults = ErrorCollector()
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SarcnetError(f"{shown(path)} cannot be read as a table of grades: {error}.") from error
    for column in ("patient", "fnclcc"):
        if column not in table:
            faults.add(f"column '{column}' is missing; there are {', '.join(table.columns)}.")
    faults.raise_if_any(f"{shown(path)} cannot be used")
    for row, (patient, grade) in enumerate(zip(table["patient"], table["fnclcc"], strict=True), start=2):
        if isinstance(grade, str) and grade.strip() not in ("1", "2", "3"):
            faults.add(f"row {row} ({patient}): fnclcc is '{grade}'; give 1, 2 or 3, or leave it empty.")
    for patient in table.loc[table["patient"].duplicated(), "patient"]:
        faults.add(f"{patient} comes more than once; keep one of the rows.")
    faults.raise_if_any(f"{shown(path)} cannot be used")
    return table.set_index("patient").reindex(columns=["fnclcc", "histotype"])


def select(export: dict[str, pd.DataFrame], *, grades: pd.DataFrame | None, centre_patients_min: int = 15) -> Tcga:
    """The study's patients out of all, in the columns of patients.csv.

    Args:
        export: from `read_export`.
        grades: from `read_grades`; None leaves the grade empty.
        centre_patients_min: tissue source sites with fewer patients go together as OTHERS.

    Raises:
        SarcnetError: nobody is left.
    """
    clinical = export["clinical.tsv"]
    primary = clinical[clinical["diagnoses.classification_of_tumor"] == "primary"]
    table = primary.drop_duplicates(CASE).set_index(CASE).sort_index()
    known = grades if grades is not None else pd.DataFrame(columns=["fnclcc", "histotype"])
    reviewed = known["histotype"].reindex(table.index)
    named = table["diagnoses.primary_diagnosis"]
    histotype = reviewed.map(REVIEWED).where(reviewed.notna(), named.map(HISTOTYPES))
    site = table["diagnoses.site_of_resection_or_biopsy"].map(_site)
    outcome = _outcome(export, table)
    reason = pd.Series("", index=table.index)
    for mask, text in (
        (outcome["first_day"] <= 0, "metastasis on the day of diagnosis or before"),
        (site.isna(), "site: " + table["diagnoses.site_of_resection_or_biopsy"].fillna("not given")),
        (histotype.isna(), "histotype: " + reviewed.fillna(named).fillna("not given")),
    ):
        reason = reason.mask(mask, text)
    kept = reason[reason == ""].index
    if kept.empty:
        raise SarcnetError(
            f"None of the {len(table)} cases is in the study: see the reasons for which they are left out."
        )
    sizes, details = _size_mm(export), _details(export)
    text = table.loc[kept]
    patients = pd.DataFrame(index=kept, columns=list(PATIENT_COLUMNS), dtype=object)
    patients["patient_id"], patients["series"] = kept, "training"
    patients["age_years"] = text["demographic.age_at_index"].astype(float)
    patients["sex"] = text["demographic.gender"].where(text["demographic.gender"].isin(["female", "male"]))
    patients["size_mm"] = sizes.reindex(kept)
    patients[["depth", "necrosis_fraction"]] = details.reindex(kept)
    patients["site"], patients["histotype"] = site[kept], histotype[kept]
    patients["fnclcc_grade"] = known["fnclcc"].reindex(kept)
    margins = text["diagnoses.residual_disease"]
    patients["margins"] = margins.where(margins.isin(["R0", "R1", "R2"]))
    patients[["mfs_months", "mfs_event"]] = outcome.loc[kept, ["mfs_months", "mfs_event"]]
    sites = pd.Series(kept.str.split("-").str[1], index=kept)
    large = sites.map(sites.value_counts()) >= centre_patients_min
    patients["centre"] = sites.where(large, OTHERS)
    left = reason[reason != ""].rename("reason").rename_axis("patient_id").reset_index()
    return Tcga(patients.reset_index(drop=True), left, _doubts(patients, outcome))


def _site(name: object) -> str | None:
    low = str(name).lower()
    return next((ours for part, ours in SITES.items() if part in low), None)


def _days(table: pd.DataFrame, *columns: str) -> pd.Series:
    """Smallest of some columns of days, by row; NaN where all are empty."""
    return table[list(columns)].apply(pd.to_numeric, errors="coerce").min(axis=1).astype(float)


def _outcome(export: dict[str, pd.DataFrame], primary: pd.DataFrame) -> pd.DataFrame:
    """By case: first_day of metastasis (NaN none), mfs_months, mfs_event, undated (metastasis without a day)."""
    clinical, seen = export["clinical.tsv"], export["follow_up.tsv"]
    distant = seen[seen["follow_ups.progression_or_recurrence_type"] == "Distant"]
    rows = clinical[clinical["diagnoses.classification_of_tumor"] == "metastasis"]
    days = _days(distant, "follow_ups.days_to_progression", "follow_ups.days_to_recurrence")
    seen_first = days.groupby(distant[CASE]).min().reindex(primary.index)
    named_first = _days(rows, "diagnoses.days_to_diagnosis").groupby(rows[CASE]).min().reindex(primary.index)
    first = pd.concat([seen_first, named_first], axis=1).min(axis=1)
    noted = primary.index.isin([*distant[CASE], *rows[CASE]]) | (
        primary["diagnoses.metastasis_at_diagnosis"] == "Metastasis, NOS"
    )
    undated = pd.Series(noted, index=primary.index) & first.isna()
    last = _days(seen, "follow_ups.days_to_follow_up").groupby(seen[CASE]).max().reindex(primary.index)
    death = pd.to_numeric(primary["demographic.days_to_death"], errors="coerce")
    dead = primary["demographic.vital_status"] == "Dead"
    end = death.where(dead, last)
    days = first.where(first.notna(), end)
    event = pd.Series(np.select([first.notna(), dead], [1.0, 2.0], default=0.0), index=primary.index)
    months = (days / DAYS_PER_MONTH).round(2).mask(undated | (days < 0))
    return pd.DataFrame(
        {"first_day": first, "mfs_months": months, "mfs_event": event.where(months.notna()), "undated": undated}
    )


def _of_primaries(export: dict[str, pd.DataFrame]) -> pd.DataFrame:
    clinical = export["clinical.tsv"]
    own = clinical.loc[clinical["diagnoses.classification_of_tumor"] == "primary", "diagnoses.diagnosis_id"]
    details = export["pathology_detail.tsv"]
    return details[details["diagnoses.diagnosis_id"].isin(own)]


def _size_mm(export: dict[str, pd.DataFrame]) -> pd.Series:
    """Largest diameter by case, mm: the pathologist's measurement before the radiologist's."""
    details = _of_primaries(export)
    columns = [f"pathology_details.{name}" for name in DIAMETERS]
    largest = details[columns].apply(pd.to_numeric, errors="coerce").max(axis=1) * MM_PER_CM
    kind = details["pathology_details.measurement_type"]
    by_kind = {name: largest[kind == name].groupby(details[CASE]).max() for name in ("Pathologic", "Radiologic")}
    return by_kind["Pathologic"].combine_first(by_kind["Radiologic"])


def _details(export: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """By case: depth, necrosis_fraction (0 where it is said that there is none)."""
    details = _of_primaries(export)
    depth = details["pathology_details.tumor_depth_descriptor"].map({"Deep": "deep", "Superficial": "superficial"})
    share = pd.to_numeric(details["pathology_details.necrosis_percent"], errors="coerce") / 100
    share = share.mask(share.isna() & (details["pathology_details.necrosis_present"] == "No"), 0.0)
    frame = pd.DataFrame({"case": details[CASE], "depth": depth, "necrosis_fraction": share})
    return frame.groupby("case").agg({"depth": "first", "necrosis_fraction": "max"})


def _doubts(patients: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for patient, row in patients.iterrows():
        if outcome.loc[patient, "undated"]:
            rows.append((patient, "a metastasis is noted without a day, so the outcome is empty"))
        elif pd.isna(row["mfs_months"]):
            rows.append((patient, "no day of last contact or of death, so the outcome is empty"))
        empty = [name for name in ("size_mm", "depth", "fnclcc_grade") if pd.isna(row[name])]
        if empty:
            rows.append((patient, f"empty: {', '.join(empty)}"))
    return pd.DataFrame(rows, columns=["patient_id", "doubt"])
