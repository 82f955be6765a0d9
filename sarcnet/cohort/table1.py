"""Table 1: who the patients are, by hospital and series, with what is missing. No outcome enters it."""

from __future__ import annotations

import pandas as pd

from sarcnet.cohort.schema import PATIENTS, Column

LABELS = {
    "age_years": "Age, years",
    "sex": "Sex",
    "size_mm": "Tumour size, mm",
    "depth": "Depth",
    "site": "Site",
    "histotype": "Histotype",
    "differentiation": "Differentiation score",
    "mitoses_per_10_hpf": "Mitoses per 10 HPF",
    "necrosis_fraction": "Necrosis, share",
    "fnclcc_grade": "FNCLCC grade",
    "margins": "Margins",
    "chemotherapy": "Chemotherapy",
    "radiotherapy": "Radiotherapy",
}
_COLUMNS = {column.name: column for column in PATIENTS}


def table_one(patients: pd.DataFrame) -> pd.DataFrame:
    """One column per hospital and series, headed by n; one row per variable or category.

    Numbers: median (quartiles). Categories and scores: count (percent of those known). Missing: count (percent of
    all); the row is left out where nothing is missing anywhere.

    Args:
        patients: columns of patients.csv and centre; mfs_months and mfs_event are not looked at.

    Returns:
        Text, indexed by variable and line; `attrs["variables"]` names the columns of patients.csv it is made of.
    """
    groups = {
        f"{centre} {series}\nn = {len(group)}": group
        for (centre, series), group in patients.groupby(["centre", "series"])
    }
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name, label in LABELS.items():
        for head, group in groups.items():
            for line, text in _lines(group[name], _COLUMNS[name]).items():
                rows.setdefault((label, line), {})[head] = text
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=list(groups))
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["", " "])
    nothing = (table.index.get_level_values(1) == "missing") & (table == "0").all(axis=1)
    table = table[~nothing]
    table.attrs["variables"] = list(LABELS)
    return table


def _lines(values: pd.Series, column: Column) -> dict[str, str]:
    known, n = values.dropna(), len(values)
    missing = n - len(known)
    lines = {}
    if column.numeric and not column.whole:
        low, middle, high = known.astype(float).quantile([0.25, 0.5, 0.75]) if len(known) else (float("nan"),) * 3
        digits = 2 if column.high <= 1 else 0
        text = f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
        lines["median (quartiles)"] = text if len(known) else "–"
    else:
        kinds = column.values or tuple(str(k) for k in range(int(column.low), int(column.high) + 1))
        shown = known.astype(float).astype(int).astype(str) if column.numeric else known
        for kind in kinds:
            count = int((shown == kind).sum())
            lines[kind.replace("_", " ")] = f"{count} ({100 * count / len(known):.0f} %)" if len(known) else "–"
    lines["missing"] = f"{missing} ({100 * missing / n:.0f} %)" if missing else "0"
    return lines
