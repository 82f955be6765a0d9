r"""Brier score: how far a predicted risk is from what happened, squared, weighted for censoring.

.. math:: BS(t) = \frac1n \sum_i u_i (1 - r_i)^2 + v_i r_i^2

with the weights :math:`u, v` of :mod:`sarcnet.evaluation.metrics.auc`; those who died before :math:`t` had no metastasis
(Graf et al., Statistics in Medicine 1999; Schoop et al., Biometrical Journal 2011, for competing risks). It is judged
beside a model that gives everybody the same risk, the weighted share of cases; one minus their ratio is the
index of prediction accuracy (Kattan and Gerds 2018).
"""

from __future__ import annotations

import numpy as np

from sarcnet.evaluation.metrics.auc import Followup, check, check_probability, weights


def weighted_brier(risk: np.ndarray, *, case: np.ndarray, control: np.ndarray) -> np.ndarray:
    """(B,) scores of risks (n,) under weights (B, n), which add up to the patients of each resample; NaN where none counts."""
    size = case.sum(axis=1) + control.sum(axis=1)
    return (case @ (1 - risk) ** 2 + control @ risk**2) / np.where(size > 0, size, np.nan)


def brier(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """Brier score at the horizon of risks (n,), which are probabilities: a grade or a hazard ratio has none.

    Raises:
        SarcnetError: a risk is missing or no probability; no centre was followed to the horizon.
    """
    return brier_and_null(risk, followup, horizon_months=horizon_months)[0]


def brier_and_null(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> tuple[float, float]:
    """:func:`brier`, and that of the weighted share of cases for everybody (Aalen and Johansen's incidence in each centre)."""
    check(followup, horizon_months=horizon_months)
    risk = check_probability(risk)
    case, control = weights(followup, horizon_months=horizon_months)
    same = np.full(len(risk), case.sum() / (case.sum() + control.sum()))
    return tuple(float(weighted_brier(r, case=case, control=control)[0]) for r in (risk, same))  # type: ignore[return-value]


def integrated(months: np.ndarray, score: np.ndarray) -> float:
    """Mean of a score over time, by trapezia between the first and the last of `months`."""
    return float(np.trapezoid(score, months) / (months[-1] - months[0])) if len(months) > 1 else float(score[0])
