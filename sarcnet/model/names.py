"""What figures and tables call clinical variables, their columns, and models."""

from __future__ import annotations

from collections.abc import Sequence

WORDS = {
    "age_years": "age (years)",
    "size_mm": "size (mm)",
    "fnclcc_grade": "FNCLCC grade",
    "mitoses_per_10_hpf": "mitoses per 10 HPF",
    "necrosis_fraction": "necrosis (share)",
}
LABELS = {
    "sarcnet_fedavg": "SarcNet, federated (FedAvg)",
    "sarcnet_pooled": "SarcNet, pooled",
    "image_only": "image only, pooled",
    "clinical_only": "clinical only, pooled",
    "local_CLB": "SarcNet, CLB alone",
    "local_IB": "SarcNet, IB alone",
    "sarculator_variables": "Cox, size + grade + histotype (Sarculator's variables)",
    "sarculator_variables_age": "Cox, size + grade + histotype + age",
    "cox_clinical": "Cox, all clinical variables",
    "fnclcc_grade": "FNCLCC grade",
    "oracle": "oracle (true risk)",
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


def label(model: str) -> str:
    """What a figure or table calls a model."""
    if model in LABELS:
        return LABELS[model]
    if model.startswith("local_"):
        return f"SarcNet, {model.removeprefix('local_')} alone"
    return f"SarcNet, federated ({model.removeprefix('sarcnet_')})" if model.startswith("sarcnet_") else model


def in_order(models: Sequence[str]) -> list[str]:
    """Models as tables list them: ours first, then ablations, hospitals alone, comparators, oracle."""
    ranks = list(LABELS)
    return sorted(models, key=lambda model: (ranks.index(model) if model in ranks else 5.5, model))
