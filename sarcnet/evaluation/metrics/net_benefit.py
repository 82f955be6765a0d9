r"""What a threshold would do: sensitivity, predictive values and net benefit, under censoring and with death competing.

Whoever has a predicted risk of :math:`p` or more is called high risk. Cases, controls and their weights :math:`u, v`
are those of :mod:`sarcnet.evaluation.metrics.auc`, so that all sums are over what full follow-up would have shown:

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

from sarcnet.evaluation.metrics.auc import Followup, check, check_probability, effective_number, weights
from sarcnet.evaluation.metrics.bootstrap import NAN, NO_SPREAD, Estimate, percentile_interval, too_few
from sarcnet.evaluation.metrics.proportions import wilson

ALL, NONE = "treat all", "treat none"
THRESHOLD_COLUMNS = ["threshold", "measure", "value", "low", "high", "note"]


def _called(risk: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(n, T) 1 where the risk reaches the threshold."""
    return (risk[:, None] >= np.asarray(thresholds, dtype=float)[None, :]).astype(float)


def net_benefits(risk: np.ndarray, *, case: np.ndarray, control: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(B, T) net benefit of risks (n,) under weights (B, n), which add up to the patients of each resample."""
    p, called = np.asarray(thresholds, dtype=float), _called(risk, thresholds)
    size = (case.sum(axis=1) + control.sum(axis=1))[:, None]
    return (case @ called - p / (1 - p) * (control @ called)) / np.where(size > 0, size, np.nan)


def at_threshold(
    risk: np.ndarray, *, case: np.ndarray, control: np.ndarray, threshold: float, level: float
) -> dict[str, Estimate]:
    """Sensitivity, specificity, PPV, NPV and share called high risk under weights (n,), with Wilson's intervals.

    The intervals take the effective number of the patients that each proportion is a share of.
    """
    called = risk >= threshold
    shares = {
        "sensitivity": (case, called),
        "specificity": (control, ~called),
        "PPV": (np.where(called, case + control, 0.0), case > 0),
        "NPV": (np.where(called, 0.0, case + control), control > 0),
        "called high risk": (case + control, called),
    }
    found = {}
    for name, (weight, counted) in shares.items():
        share = float(weight @ counted / weight.sum()) if weight.any() else float("nan")
        found[name] = wilson(share, float(effective_number(weight)), level=level)
    return found


def _resampled(values: np.ndarray, *, tail: float, note: str) -> Estimate:
    """The first of the values with the interval of the others, or with the note why there is none."""
    value = float(values[0])
    low, high = (NAN, NAN) if note else percentile_interval(value, values[1:], tails=[tail, 1 - tail])
    return Estimate(value, low, high, note=note or (NO_SPREAD if np.isnan(low) else ""))


def threshold_table(
    risk: np.ndarray,
    followup: Followup,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    counts: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """One row for each threshold and measure: threshold, measure, value, low, high, note (why there is no interval).

    Proportions have Wilson's intervals, net benefit the bootstrap's.

    Args:
        counts: (B, n) resamples of the patients, stratified by centre only: net benefit depends on how many had a
            metastasis, so that number must not be held.

    Raises:
        SarcnetError: a risk is missing or no probability; no case or nobody watched to the horizon.
    """
    check(followup, horizon_months=horizon_months)
    risk = check_probability(risk)
    drawn = np.vstack([np.ones((1, len(risk))), counts])  # the first row is the patients at hand
    case, control = weights(followup, horizon_months=horizon_months, counts=drawn)
    tail, rows = (1 - level) / 2, []
    benefit, everybody = (
        net_benefits(values, case=case, control=control, thresholds=thresholds) for values in (risk, np.ones(len(risk)))
    )
    resampled = {
        "net benefit": benefit,
        "gain over the better of treating all and none": benefit - np.maximum(everybody, 0),
    }
    note = too_few(int((case[0] > 0).sum()), int((control[0] > 0).sum()))
    for place, threshold in enumerate(thresholds):
        found = at_threshold(risk, case=case[0], control=control[0], threshold=threshold, level=level)
        for name, values in resampled.items():
            found[name] = _resampled(values[:, place], tail=tail, note=note)
        rows += [(threshold, name, e.value, e.low, e.high, e.note) for name, e in found.items()]
    return pd.DataFrame(rows, columns=THRESHOLD_COLUMNS)


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
        One row per pair and threshold: threshold, model, other, difference, low, high, note (why there is no interval).

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
    note = too_few(int((case[0] > 0).sum()), int((control[0] > 0).sum()))
    for model, other in pairs:
        if model in benefit and other in benefit:
            gap = benefit[model] - benefit[other]
            for threshold, values in zip(thresholds, gap.T, strict=True):
                made = _resampled(values, tail=tail, note=note)
                rows.append((threshold, model, other, made.value, made.low, made.high, made.note))
    return pd.DataFrame(rows, columns=["threshold", "model", "other", "difference", "low", "high", "note"])


def decision_curve(
    risks: Mapping[str, np.ndarray],
    followup: Followup,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    counts: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """Net benefit of each model with pointwise interval (NaN from too few patients), and of treating all and none.

    Returns:
        One row a model and threshold: model, threshold, benefit, low, high.
    """
    check(followup, horizon_months=horizon_months)
    drawn = np.vstack([np.ones((1, len(followup))), counts])
    case, control = weights(followup, horizon_months=horizon_months, counts=drawn)
    judged = {name: check_probability(risk) for name, risk in risks.items()} | {ALL: np.ones(len(followup))}
    tail, frames = (1 - level) / 2, []
    note = too_few(int((case[0] > 0).sum()), int((control[0] > 0).sum()))
    for name, risk in judged.items():
        found = net_benefits(risk, case=case, control=control, thresholds=thresholds)
        made = [_resampled(values, tail=tail, note=note) for values in found.T]
        bounds = {"low": [estimate.low for estimate in made], "high": [estimate.high for estimate in made]}
        frames.append(pd.DataFrame({"model": name, "threshold": thresholds, "benefit": found[0], **bounds}))
    none = pd.DataFrame({"model": NONE, "threshold": thresholds, "benefit": 0.0, "low": 0.0, "high": 0.0})
    return pd.concat([*frames, none], ignore_index=True)
