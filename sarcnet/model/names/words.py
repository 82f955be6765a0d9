"""What figures and tables call clinical variables, their columns, and models."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

NAMES: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))
MISSING = "_missing"


def variable_words(variable: str) -> str:
    """What a figure calls a clinical variable.

    Args:
        variable: a column of patients.csv, for example ``size_mm``.

    Returns:
        Its name for a reader, for example "size (mm)".
    """
    return NAMES["variables"].get(variable, variable.replace("_", " "))


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


def label(model: str) -> str:
    """What a figure or table calls a model.

    Args:
        model: its name in tables, for example ``sarcnet_pooled`` or ``local_CLB``.

    Returns:
        For example "SarcNet, pooled" or "SarcNet, CLB alone"; an unknown name as it is.
    """
    if model in NAMES["models"]:
        return NAMES["models"][model]
    if model.startswith("local_"):
        return f"SarcNet, {model.removeprefix('local_')} alone"
    return f"SarcNet, federated ({model.removeprefix('sarcnet_')})" if model.startswith("sarcnet_") else model


def in_order(models: Sequence[str]) -> list[str]:
    """Models as tables list them.

    Args:
        models: their names in tables.

    Returns:
        The same names: ours first, then ablations, hospitals alone, comparators, oracle.
    """
    ranks = list(NAMES["models"])
    return sorted(models, key=lambda model: (ranks.index(model) if model in ranks else 5.5, model))
