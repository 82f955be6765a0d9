"""Clinical variables and their columns in a reader's words, for figures and tables."""

from __future__ import annotations

WORDS = {
    "age_years": "age (years)",
    "size_mm": "size (mm)",
    "fnclcc_grade": "FNCLCC grade",
    "mitoses_per_10_hpf": "mitoses per 10 HPF",
    "necrosis_fraction": "necrosis (share)",
}
MISSING = "_missing"


def variable_words(variable: str) -> str:
    """What a figure calls a clinical variable, for example ``size_mm``: size (mm)."""
    return WORDS.get(variable, variable.replace("_", " "))


def column_words(column: str) -> str:
    """What a figure calls a column of :func:`sarcnet.model.clinical.clinical_columns`.

    Args:
        column: a variable, ``<variable>_missing`` or ``<variable>=<category>``.

    Returns:
        For example "site: trunk wall" or "size (mm), missing".
    """
    if column.endswith(MISSING):
        return f"{variable_words(column.removesuffix(MISSING))}, missing"
    variable, _, category = column.partition("=")
    return variable_words(variable) + (f": {category.replace('_', ' ')}" if category else "")
