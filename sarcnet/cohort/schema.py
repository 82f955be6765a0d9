"""Columns of patients.csv and slides.csv: types, allowed values, ranges. Every fault of every row in one message."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from sarcnet.compendium.errors import ErrorCollector

SERIES = ("training", "validation")
HISTOTYPES = (
    "UPS",
    "leiomyosarcoma",
    "myxofibrosarcoma",
    "MPNST",
    "pleomorphic_liposarcoma",
    "pleomorphic_rhabdomyosarcoma",
)
SITES = ("lower_limb", "upper_limb", "trunk_wall")
TIMES = ("none", "neoadjuvant", "adjuvant")
STAINS = ("HE", "HES")


@dataclass(frozen=True)
class Column:
    """One column. `values` for categories, `low`/`high` for numbers (inclusive); an empty cell needs `missing`."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    missing: bool = True

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers."""
        return math.isfinite(self.low)


PATIENTS = (
    Column("patient_id", "pseudonym, unique in the cohort", missing=False),
    Column("series", "training, or validation (collected afterwards)", values=SERIES, missing=False),
    Column("age_years", "age at diagnosis, years", low=0, high=120),
    Column("sex", "sex", values=("female", "male")),
    Column("size_mm", "largest diameter, mm", low=1, high=600),
    Column("depth", "against the superficial fascia", values=("superficial", "deep")),
    Column("site", "where the tumour sits", values=SITES),
    Column("histotype", "histological type", values=HISTOTYPES),
    Column("differentiation", "FNCLCC differentiation score", low=1, high=3, whole=True),
    Column("mitoses_per_10_hpf", "mitoses in ten high-power fields", low=0, high=500),
    Column("necrosis_fraction", "share of the tumour that is necrotic", low=0, high=1),
    Column("fnclcc_grade", "FNCLCC grade", low=1, high=3, whole=True),
    Column("margins", "resection margins", values=("R0", "R1", "R2")),
    Column("chemotherapy", "chemotherapy", values=TIMES),
    Column("radiotherapy", "radiotherapy", values=TIMES),
    Column("mfs_months", "months from diagnosis to the first of metastasis, death and last news", low=0, high=720),
    Column(
        "mfs_event",
        "what came first: 0 neither (censored), 1 metastasis, 2 death of any cause without metastasis",
        low=0,
        high=2,
        whole=True,
    ),
)
SLIDES = (
    Column("slide_id", "name of the slide, unique in the cohort", missing=False),
    Column("patient_id", "whose tumour", missing=False),
    Column("file", "path inside the hospital's folder", missing=False),
    Column("mpp", "µm/px, only where the file does not say it", low=0.05, high=5),
    Column("stain", "HE, or HES with saffron", values=STAINS),
)
KNOWN_FAILURES = "known_failures.csv"  # may lie in a hospital's folder: slides that it knows to be of no use, and why
KNOWN_FAILURES_COLUMNS = ("slide_id", "why")
PATIENT_COLUMNS = tuple(column.name for column in PATIENTS)
SLIDE_COLUMNS = tuple(column.name for column in SLIDES)
_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def check_table(
    table: pd.DataFrame, *, columns: tuple[Column, ...], where: str, faults: ErrorCollector, first_row: int = 2
) -> pd.DataFrame:
    """Check a table of strings column by column and give it types.

    Args:
        table: as read with ``dtype=str``; an empty cell is NaN.
        columns: PATIENTS or SLIDES.
        where: how the table is called in messages, for example "CLB/patients.csv".
        faults: collects what is wrong; nothing is raised here.
        first_row: line number of the first data row, as an editor shows it.

    Returns:
        The table with numbers as float64 (NaN where empty) and text as object (None where empty), in schema order.
    """
    names = [column.name for column in columns]
    for name in table.columns:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean '{near[0]}'" if near else f"known are {', '.join(names)}"
            faults.add(f"{where}: unknown column '{name}': {hint}? Rename it or take it out.")
    checked = {}
    for column in columns:
        if column.name not in table.columns:
            faults.add(
                f"{where}: column '{column.name}' ({column.meaning}) is missing: add it, with empty cells if unknown."
            )
            checked[column.name] = pd.Series([None] * len(table), dtype=object)
            continue
        cells = table[column.name].map(lambda cell: cell.strip() if isinstance(cell, str) else None).replace({"": None})
        checked[column.name] = _check_column(cells.reset_index(drop=True), column, where, faults, first_row)
    return pd.DataFrame(checked, columns=names)


def check_outcomes(patients: pd.DataFrame, *, where: str, faults: ErrorCollector, first_row: int = 2) -> None:
    """mfs_months and mfs_event stand together or are both empty; identifiers are unique and fit for file names."""
    for row, patient in enumerate(patients.to_dict("records"), start=first_row):
        if pd.isna(patient["mfs_months"]) != pd.isna(patient["mfs_event"]):
            filled = "mfs_event" if pd.isna(patient["mfs_months"]) else "mfs_months"
            faults.add(
                f"{where}, row {row} ({patient['patient_id']}): only {filled} is given; "
                "fill in mfs_months and mfs_event both, or leave both empty."
            )
    check_identifiers(patients["patient_id"], name="patient_id", where=where, faults=faults, first_row=first_row)


def check_identifiers(ids: pd.Series, *, name: str, where: str, faults: ErrorCollector, first_row: int = 2) -> None:
    """Identifiers come once and hold only letters, digits, '.', '_' and '-' (they become file names)."""
    seen: dict[str, int] = {}
    for row, value in enumerate(ids, start=first_row):
        if not isinstance(value, str):
            continue
        if value in seen:
            faults.add(f"{where}, row {row}: {name} '{value}' is already in row {seen[value]}; keep one of the rows.")
        seen.setdefault(value, row)
        if not set(value) <= _SAFE or value.startswith("."):
            faults.add(f"{where}, row {row}: {name} '{value}' becomes a file name; use letters, digits, '.', '_', '-'.")


def check_slide_files(
    slides: pd.DataFrame, *, patients: set[str], folder: Path, where: str, faults: ErrorCollector, first_row: int = 2
) -> None:
    """Every slide belongs to a patient of the hospital, lies inside its folder, and is there."""
    check_identifiers(slides["slide_id"], name="slide_id", where=where, faults=faults, first_row=first_row)
    root = folder.resolve()
    for row, slide in enumerate(slides.to_dict("records"), start=first_row):
        if slide["patient_id"] and slide["patient_id"] not in patients:
            faults.add(
                f"{where}, row {row}: patient_id '{slide['patient_id']}' is not in this hospital's patients.csv; "
                "add the patient or take the slide out."
            )
        if not slide["file"]:
            continue
        path = (folder / PurePosixPath(slide["file"])).resolve()
        if not path.is_relative_to(root):
            faults.add(
                f"{where}, row {row}: file '{slide['file']}' leads out of the hospital's folder; move it inside."
            )
        elif not _may_be_there(path):
            faults.add(f"{where}, row {row}: file '{slide['file']}' is not there; copy it there or correct the path.")


def _may_be_there(path: Path) -> bool:
    """Whether it is a file, or lies where this user may not look: of one slide, notebook 01 says so in its report."""
    try:
        return path.is_file()
    except PermissionError:
        return True


def _check_column(cells: pd.Series, column: Column, where: str, faults: ErrorCollector, first_row: int) -> pd.Series:
    if not column.missing:
        for row in cells.index[cells.isna()]:
            faults.add(f"{where}, row {row + first_row}: {column.name} ({column.meaning}) is empty; fill it in.")
    if column.numeric:
        return _numbers(cells, column, where, faults, first_row)
    if column.values:
        for row, cell in cells[cells.notna() & ~cells.isin(column.values)].items():
            near = difflib.get_close_matches(str(cell), column.values, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'? " if near else ""
            allowed = ", ".join(column.values)
            faults.add(
                f"{where}, row {int(str(row)) + first_row}: {column.name} is '{cell}'; {hint}allowed are {allowed}."
            )
    return cells.astype(object).where(cells.notna(), None)


def _numbers(cells: pd.Series, column: Column, where: str, faults: ErrorCollector, first_row: int) -> pd.Series:
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    kind = "a whole number" if column.whole else "a number"
    for row, cell in cells[cells.notna()].items():
        value = numbers[row]
        off = not math.isfinite(value) or not column.low <= value <= column.high
        if off or (column.whole and value != round(value)):
            faults.add(
                f"{where}, row {int(str(row)) + first_row}: {column.name} ({column.meaning}) is '{cell}'; "
                f"give {kind} from {column.low:g} to {column.high:g}, or leave it empty."
            )
    return numbers
