"""Clinical variables as columns of numbers, the same columns at every hospital.

The columns follow from the declared categories, never from the data: two hospitals with different histotypes still
build the same table, and nothing has to be agreed on by exchanging patients. A missing value stays missing (NaN)
here; the network sets it to the training mean and the column ``<variable>_missing`` says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from sarcnet.cohort.schema import PATIENTS
from sarcnet.compendium.errors import ErrorCollector

#: Numeric variables and the scale on which they enter: size acts concavely (study.md §4), counts are skewed.
NUMERIC: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "age_years": lambda x: x,
    "size_mm": np.sqrt,
    "differentiation": lambda x: x,
    "mitoses_per_10_hpf": np.log1p,
    "necrosis_fraction": np.sqrt,
    "fnclcc_grade": lambda x: x,
}
#: Categorical variables: each category of the cohort's schema gets a column but the first, the reference. Treatment and
#: margins are not among them: they come after the decision that the risk is meant to help with.
CATEGORIES: dict[str, tuple[str, ...]] = {
    column.name: column.values for column in PATIENTS if column.name in ("sex", "depth", "site", "histotype")
}


def check_variables(variables: Sequence[str]) -> None:
    """Raise SarcnetError for every name that is no clinical variable, with the nearest one that is."""
    known = [*NUMERIC, *CATEGORIES]
    faults = ErrorCollector()
    for name in variables:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            faults.add(f"Unknown clinical variable '{name}': did you mean '{near}'? Known are {', '.join(known)}.")
    faults.raise_if_any("clinical_variables cannot be used")


def clinical_columns(variables: Sequence[str]) -> tuple[str, ...]:
    """Names of the p columns these variables give, in order."""
    check_variables(variables)
    columns: list[str] = []
    for name in variables:
        columns += [name] if name in NUMERIC else [f"{name}={category}" for category in CATEGORIES[name][1:]]
        columns.append(f"{name}_missing")
    return tuple(columns)


def clinical_values(
    patients: pd.DataFrame, *, variables: Sequence[str], categories: Mapping[str, tuple[str, ...]] = CATEGORIES
) -> np.ndarray:
    """(n, p) float64 with NaN where missing, the columns of ``clinical_columns(variables)``.

    categories: of each categorical variable, the reference first.
    Raises SarcnetError naming variables the table lacks, and patients whose category or number is not understood.
    """
    check_variables(variables)
    faults = ErrorCollector()
    columns: list[np.ndarray] = []
    for name in variables:
        if name not in patients.columns:
            faults.add(f"The patients' table has no column '{name}': add it, or take it out of clinical_variables.")
            continue
        missing = patients[name].isna().to_numpy()
        if name in NUMERIC:
            x = pd.to_numeric(patients[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            wrong = (~missing & ~np.isfinite(x)) | (np.nan_to_num(x) < 0)
            columns.append(NUMERIC[name](np.where(wrong, np.nan, x)))
            expected = "a number of 0 or more"
        else:
            wrong = ~missing & ~patients[name].isin(categories[name]).to_numpy()
            columns += [np.where(missing, np.nan, patients[name] == c).astype(float) for c in categories[name][1:]]
            expected = f"one of {', '.join(categories[name])}"
        columns.append(missing.astype(float))
        for row in np.flatnonzero(wrong):
            patient = patients["patient_id"].iloc[row]
            faults.add(f"Patient {patient}: {name} is '{patients[name].iloc[row]}', expected {expected}.")
    faults.raise_if_any("The clinical variables cannot be read")
    return np.column_stack(columns) if columns else np.zeros((len(patients), 0))
