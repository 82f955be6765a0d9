"""How much one patient's predicted risk depends on which patients the model was trained on.

Every patient has risks from several networks, each trained on another part of the training series. How far they lie
apart is the instability that no AUC shows (Riley and Collins, Biometrical Journal 2023;65:2200302, who refit the model
on bootstrap samples; here the networks of the cross-validation stand in for these refits, which understates it).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

COLUMNS = [
    "patients",
    "networks per patient",
    "mean absolute deviation",
    "95th percentile",
    "share changing risk group",
]


def instability_table(risks: Mapping[tuple[str, str], np.ndarray], *, cut_off: float) -> pd.DataFrame:
    """Spread of the predicted risks of the same patients over the networks of a model.

    Args:
        risks: by (series, model), the risks (n, R) of n patients under R networks that were not trained on them.
        cut_off: risk from which a patient is called high risk.

    Returns:
        One row per series and model with more than one network: patients; networks per patient; mean over the patients of
        the mean absolute deviation from the patient's own mean risk; its 95th percentile over the patients; share of
        patients whom at least one network puts into the other risk group than their mean risk does.
    """
    rows = {}
    for (series, model), values in risks.items():
        if values.shape[1] < 2 or not len(values):
            continue
        mean = values.mean(axis=1, keepdims=True)
        deviation = np.abs(values - mean).mean(axis=1)
        moved = ((values >= cut_off) != (mean >= cut_off)).any(axis=1)
        rows[series, model] = (
            len(values), values.shape[1], deviation.mean(), np.quantile(deviation, 0.95), moved.mean()
        )  # fmt: skip
    index = pd.MultiIndex.from_tuples(rows, names=["series", "model"])
    return pd.DataFrame(list(rows.values()), columns=COLUMNS, index=index)
