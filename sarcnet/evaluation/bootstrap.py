"""Intervals and differences by resampling patients, in pairs: every model is judged on the same resamples.

Patients are drawn with replacement within each centre, since the numbers of the two centres were given, not observed.
The censoring is estimated anew in each resample of the cross-validated series, because it is part of the estimate. Not
resampled is the training: an interval says how much the AUC would vary with other patients *judged*, for the models at
hand, not with other patients *learnt from*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sarcnet.evaluation.auc import Followup, check, weighted_auc, weights

CHUNK = 250


@dataclass(frozen=True)
class Estimate:
    """A value with its percentile interval; `p` is two-sided for "no difference" (NaN for a plain AUC)."""

    value: float
    low: float
    high: float
    p: float = float("nan")

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Resampled:
    """AUCs of all models on the patients at hand (`point`) and on each of B resamples (`draws`, (B,) each)."""

    point: dict[str, float]
    draws: dict[str, np.ndarray]
    level: float

    def estimate(self, model: str) -> Estimate:
        """AUC of a model with its interval."""
        low, high = self._interval(self.draws[model])
        return Estimate(self.point[model], low, high)

    def difference(self, model: str, other: str) -> Estimate:
        """AUC of `model` minus AUC of `other` with interval, and P: twice the smaller share of resamples beyond zero."""
        gaps = self.draws[model] - self.draws[other]
        gaps = gaps[np.isfinite(gaps)]
        low, high = self._interval(gaps)
        beyond = min((gaps <= 0).sum(), (gaps >= 0).sum())
        p = min(1.0, 2 * (beyond + 1) / (len(gaps) + 1))
        return Estimate(self.point[model] - self.point[other], low, high, float(p))

    def minus(self, other: Resampled, *, model: str) -> Estimate:
        """AUC of `model` here minus its AUC on other patients, whose resamples are independent of these."""
        count = min(len(self.draws[model]), len(other.draws[model]))
        low, high = self._interval(self.draws[model][:count] - other.draws[model][:count])
        return Estimate(self.point[model] - other.point[model], low, high)

    def _interval(self, values: np.ndarray) -> tuple[float, float]:
        tail = (1 - self.level) / 2
        low, high = np.nanquantile(values, [tail, 1 - tail])
        return float(low), float(high)


def resample_counts(centre: np.ndarray, *, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(B, n) how often each of n patients is drawn, with replacement within each centre."""
    counts = np.zeros((samples, len(centre)), dtype=np.int32)
    for name in np.unique(centre):
        rows = np.flatnonzero(centre == name)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return counts


def resample_auc(
    risks: Mapping[str, np.ndarray],
    followup: Followup,
    *,
    horizon_months: float,
    samples: int,
    level: float,
    rng: np.random.Generator,
    fitted: Followup | None = None,
) -> Resampled:
    """Paired bootstrap of the AUC at the horizon.

    Args:
        risks: for each model (n, R): the risks in R repeats of the cross-validation; their AUCs are averaged.
        followup: the n patients.
        samples: B.
        level: of the intervals, for example 0.95.
        rng: draws the patients.
        fitted: patients on whom the censoring is estimated, when they are others (the training series, for the
            validation series).

    Raises:
        SarcnetError: no AUC exists for these patients.
    """
    check(followup, horizon_months=horizon_months)
    counts = resample_counts(followup.centre, samples=samples, rng=rng)
    point = _mean_auc(risks, *weights(followup, horizon_months=horizon_months, fitted=fitted))
    chunks = []
    for begin in range(0, samples, CHUNK):
        pair = weights(followup, horizon_months=horizon_months, fitted=fitted, counts=counts[begin : begin + CHUNK])
        chunks.append(_mean_auc(risks, *pair))
    draws = {model: np.concatenate([chunk[model] for chunk in chunks]) for model in risks}
    return Resampled({model: float(values[0]) for model, values in point.items()}, draws, level)


def _mean_auc(risks: Mapping[str, np.ndarray], case: np.ndarray, control: np.ndarray) -> dict[str, np.ndarray]:
    return {
        model: np.mean([weighted_auc(column, case=case, control=control) for column in np.atleast_2d(values.T)], axis=0)
        for model, values in risks.items()
    }
