r"""What a threshold would do: sensitivity, predictive values and net benefit, under censoring and with death competing.

Whoever has a predicted risk of :math:`p` or more is called high risk. Cases, controls and their weights :math:`u, v`
are those of :mod:`sarcnet.evaluation.auc`, so that all sums are over what full follow-up would have shown:

.. math::
   NB(p) = \frac1n \sum_i u_i 1[r_i \ge p] - \frac{p}{1 - p}\, \frac1n \sum_i v_i 1[r_i \ge p]

Net benefit was defined for known outcomes by Vickers and Elkin (Medical Decision Making 2006;26:565-574). For censored
times and competing events Vickers et al. (BMC Medical Informatics and Decision Making 2008;8:53) use the cumulative
incidence among patients above the threshold; here the true and false positives are weighted for censoring instead, as
Blanche et al. (Statistics in Medicine 2013;32:5381-5397) do for sensitivity and specificity. The odds of the threshold
say how many patients may be treated without need to reach one who needs it. "Treat all" calls everybody high risk, "treat
none" has a net benefit of 0.
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


def benefit_differences(
    risks: Mapping[str, np.ndarray],
    followup: Followup,
    *,
    pairs: Sequence[tuple[str, str]],
    horizon_months: float,
    thresholds: Sequence[float],
    counts: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """Net benefit of one model minus that of another on the same resamples, with percentile intervals.

    Args:
        risks: by model, (n,) predicted risks, or 0 and 1 for a rule that calls some patients high risk.
        followup: of the n patients.
        pairs: (model, other); models without risks are skipped. "treat all" and "treat none" may be named.
        horizon_months: horizon of the outcome.
        thresholds: risks at which treatment might be offered.
        counts: (B, n) resamples of the patients, stratified by centre only.
        level: of the intervals.

    Returns:
        One row per pair and threshold: threshold, model, other, difference, low, high.

    Raises:
        SarcnetError: a risk is missing or no probability; no case or nobody followed to the horizon.
    """
    check(followup, horizon_months=horizon_months)
    drawn = np.vstack([np.ones((1, len(followup))), counts])
    case, control = weights(followup, horizon_months=horizon_months, counts=drawn)
    known = {name: check_probability(risk) for name, risk in risks.items()}
    known |= {ALL: np.ones(len(followup)), NONE: np.zeros(len(followup))}
    benefit = {
        name: net_benefits(risk, case=case, control=control, thresholds=thresholds)
        for name, risk in known.items()
        if any(name in pair for pair in pairs)
    }
    tail, rows = (1 - level) / 2, []
    for model, other in pairs:
        if model in benefit and other in benefit:
            gap = benefit[model] - benefit[other]
            low, high = np.nanquantile(gap[1:], [tail, 1 - tail], axis=0)
            rows += [(t, model, other, *found) for t, *found in zip(thresholds, gap[0], low, high, strict=True)]
    return pd.DataFrame(rows, columns=["threshold", "model", "other", "difference", "low", "high"])


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
