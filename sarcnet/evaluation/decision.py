r"""What a threshold would do: sensitivity, predictive values and net benefit, under censoring and with death competing.

Whoever has a predicted risk of :math:`p` or more is called high risk. Cases, controls and their weights :math:`u, v`
are those of :mod:`sarcnet.evaluation.auc`, so that all sums are over what full follow-up would have shown:

.. math::
   NB(p) = \frac1n \sum_i u_i 1[r_i \ge p] - \frac{p}{1 - p}\, \frac1n \sum_i v_i 1[r_i \ge p]

(Vickers and Elkin, Medical Decision Making 2006; Vickers et al. 2008 for censored times). The odds of the threshold
say how many patients one would treat for nothing to reach one who needs it. "Treat all" has everybody at high risk,
"treat none" a net benefit of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sarcnet.evaluation.auc import Followup, check, check_probability, weights

ALL, NONE = "treat all", "treat none"


def _called(risk: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(n, T) 1 where the risk reaches the threshold."""
    return (risk[:, None] >= np.asarray(thresholds, dtype=float)[None, :]).astype(float)


def net_benefits(risk: np.ndarray, *, case: np.ndarray, control: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(B, T) net benefit of risks (n,) under weights (B, n), which add up to the patients of each resample."""
    p, called = np.asarray(thresholds, dtype=float), _called(risk, thresholds)
    size = case.sum(axis=1) + control.sum(axis=1)
    return (case @ called - p / (1 - p) * (control @ called)) / size[:, None]


def at_thresholds(
    risk: np.ndarray, *, case: np.ndarray, control: np.ndarray, thresholds: Sequence[float]
) -> dict[str, np.ndarray]:
    """Sensitivity, specificity, PPV, NPV and share called high risk, (B, T) each; NaN where nobody is left to divide by."""
    called = _called(risk, thresholds)
    true, false = case @ called, control @ called
    cases, controls = case.sum(axis=1, keepdims=True), control.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": true / cases,
            "specificity": 1 - false / controls,
            "PPV": true / (true + false),
            "NPV": (controls - false) / (cases + controls - true - false),
            "called high risk": (true + false) / (cases + controls),
        }


def threshold_table(
    risk: np.ndarray,
    followup: Followup,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    counts: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """One row a threshold and measure with percentile interval: threshold, measure, value, low, high.

    Args:
        counts: (B, n) resamples of the patients, stratified by centre only: predictive values and net benefit depend
            on how many had a metastasis, so that number must not be held.

    Raises:
        SarcnetError: a risk is missing or no probability; no case or nobody watched to the horizon.
    """
    check(followup, horizon_months=horizon_months)
    risk = check_probability(risk)
    drawn = np.vstack([np.ones((1, len(risk))), counts])  # the first row is the patients at hand
    case, control = weights(followup, horizon_months=horizon_months, counts=drawn)
    found = at_thresholds(risk, case=case, control=control, thresholds=thresholds)
    found["net benefit"] = net_benefits(risk, case=case, control=control, thresholds=thresholds)
    everybody = net_benefits(np.ones(len(risk)), case=case, control=control, thresholds=thresholds)
    found["gain over the better of treating all and none"] = found["net benefit"] - np.maximum(everybody, 0)
    tail, rows = (1 - level) / 2, []
    for place, threshold in enumerate(thresholds):
        for measure, values in found.items():
            low, high = np.nanquantile(values[1:, place], [tail, 1 - tail]) if counts.size else (np.nan, np.nan)
            rows.append((threshold, measure, values[0, place], low, high))
    return pd.DataFrame(rows, columns=["threshold", "measure", "value", "low", "high"])


def decision_curve(
    risks: Mapping[str, np.ndarray],
    followup: Followup,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    counts: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """Net benefit of each model with pointwise interval, and of treating all and none.

    Returns:
        One row a model and threshold: model, threshold, benefit, low, high.
    """
    check(followup, horizon_months=horizon_months)
    drawn = np.vstack([np.ones((1, len(followup))), counts])
    case, control = weights(followup, horizon_months=horizon_months, counts=drawn)
    judged = {name: check_probability(risk) for name, risk in risks.items()} | {ALL: np.ones(len(followup))}
    tail, frames = (1 - level) / 2, []
    for name, risk in judged.items():
        found = net_benefits(risk, case=case, control=control, thresholds=thresholds)
        low, high = np.quantile(found[1:], [tail, 1 - tail], axis=0)
        frames.append(
            pd.DataFrame({"model": name, "threshold": thresholds, "benefit": found[0], "low": low, "high": high})
        )
    none = pd.DataFrame({"model": NONE, "threshold": thresholds, "benefit": 0.0, "low": 0.0, "high": 0.0})
    return pd.concat([*frames, none], ignore_index=True)
