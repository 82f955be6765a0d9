"""Table 1 without sharing patients: counts by category, with small cells suppressed before they leave a hospital.

A count below ``smallest`` could point at single patients, so it is not sent; zero is, as it points at nobody. A
variable's categories add up to its number of patients, so one hidden cell alone could be told by subtraction: then the
next smallest is hidden with it (complementary suppression; Hundepool et al., Statistical Disclosure Control, Wiley
2012, ch. 5). Added over hospitals, a cell that somebody hid is known between two bounds only, and that is what is
shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sarcnet.cohort.schema import PATIENTS
from sarcnet.compendium.errors import SarcnetError

SMALLEST_CELL = 5  # usual in European statistical offices and registries; a hospital may ask for more
MISSING = "missing"


def agreed_categories(*variables: str) -> dict[str, tuple[str, ...]]:
    """Variable → its categories, as the schema of patients.csv has them. Raises SarcnetError for one without categories."""
    known = {column.name: column.values for column in PATIENTS if column.values}
    if missing := [name for name in variables if name not in known]:
        raise SarcnetError(f"{', '.join(missing)} has no categories in patients.csv; there are: {', '.join(known)}.")
    return {name: known[name] for name in variables}


def category_counts(patients: pd.DataFrame, *, categories: Mapping[str, Sequence[str]]) -> pd.Series:
    """Patients by (variable, category), every category that is agreed on, and ``missing``.

    categories: variable → its categories, agreed beforehand so that their absence tells nothing. Raises SarcnetError
    for a value that is not among them, so that nobody is dropped.
    """
    counts: dict[tuple[str, str], int] = {}
    for variable, kinds in categories.items():
        values = patients[variable]
        shown = values.map(_as_text)
        unknown = sorted(set(shown.dropna()) - set(kinds))
        if unknown:
            raise SarcnetError(f"{variable} has the values {unknown}, agreed are {list(kinds)}: correct the table.")
        for kind in kinds:
            counts[(variable, kind)] = int((shown == kind).sum())
        counts[(variable, MISSING)] = int(values.isna().sum())
    index = pd.MultiIndex.from_tuples(list(counts), names=["variable", "category"])
    return pd.Series(list(counts.values()), index=index, name="patients")


def _as_text(value: object) -> object:
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def suppress_small_cells(counts: pd.Series, *, smallest: int = SMALLEST_CELL) -> pd.Series:
    """The counts as floats with NaN where they must not leave; see the module for the rule."""
    sent = counts.astype(float)
    for _, cells in counts.groupby(level="variable", sort=False):
        small = (cells > 0) & (cells < smallest)
        if small.sum() == 1:
            others = cells[(cells >= smallest)]
            if len(others):
                small[others.idxmin()] = True
        sent[small[small].index] = np.nan
    return sent


def suppressed_counts(patients: pd.DataFrame, *variables: str, smallest: int = SMALLEST_CELL) -> pd.Series:
    """What a hospital sends for Table 1: its patients by category, without the small cells.

    Args:
        patients: the hospital's own patients, a row per patient, with a column for each variable.
        variables: names of columns with agreed categories in the schema of patients.csv.
        smallest: least count that may leave; zero may.

    Returns:
        Patients by (variable, category), as floats; NaN where a count must not leave.

    Raises:
        SarcnetError: a variable without agreed categories, or a value that is not among them.
    """
    counts = category_counts(patients, categories=agreed_categories(*variables))
    return suppress_small_cells(counts, smallest=smallest)


def merge_counts(sent: Mapping[str, pd.Series], *, patients: Mapping[str, int]) -> pd.DataFrame:
    """Counts over hospitals: low and high, equal where nobody hid the cell.

    A hidden cell holds at least 1 and at most what the hospital's visible cells of that variable leave.

    Args:
        sent: hospital → its `suppressed_counts`.
        patients: hospital → number of all its patients.

    Returns:
        By (variable, category), low and high: bounds of the number of patients of all hospitals.

    Raises:
        SarcnetError: no hospital sent counts.
    """
    low = high = None
    for hospital, cells in sent.items():
        hidden = cells.isna()
        seen = cells.fillna(0.0).groupby(level="variable").transform("sum")
        number_hidden = hidden.groupby(level="variable").transform("sum")
        left = patients[hospital] - seen - (number_hidden - 1)  # the other hidden cells hold at least 1 each
        own_low = cells.where(~hidden, 1.0)
        own_high = cells.where(~hidden, left)
        low = own_low if low is None else low + own_low
        high = own_high if high is None else high + own_high
    if low is None or high is None:
        raise SarcnetError("No hospital sent counts: ask at least one.")
    return pd.DataFrame({"low": low.astype(int), "high": high.astype(int)})
