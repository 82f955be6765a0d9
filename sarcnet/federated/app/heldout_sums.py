"""Sums over held-out patients that add over hospitals, and what can be read from them; `evaluation_sums` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

RISK_BINS = 20  # of equal width, from 0 to 1: few, so that a bin holds several patients
RISK_GROUPS = 4  # for calibration, of equal width, from 0 to 1


@dataclass(frozen=True)
class EvaluationSums:
    """cases, controls (R, 20): weights by bin of risk, for R repeats; patients, risks (R, 4), at_risk, events (R, 4, K):
    by group of risk and interval.

    float64; they add over hospitals.
    """

    cases: np.ndarray
    controls: np.ndarray
    patients: np.ndarray
    risks: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray

    def __add__(self, other: EvaluationSums) -> EvaluationSums:
        return EvaluationSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays: what leaves the hospital."""
        return {f"evaluation.{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> EvaluationSums:
        """The reverse."""
        return cls(*(np.asarray(arrays[f"evaluation.{f.name}"]) for f in fields(cls)))

    @property
    def auc(self) -> tuple[float, float]:
        """AUC of the binned risks, and how far the AUC of the risks themselves can be from it at most; means over
        repeats, NaN without a case or a control."""
        pairs = self.cases.sum(axis=1) * self.controls.sum(axis=1)  # (R,)
        below = np.cumsum(self.controls, axis=1) - self.controls
        within = (self.cases * self.controls).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            area = ((self.cases * below).sum(axis=1) + within / 2) / pairs
            return float(np.mean(area)), float(np.mean(within / 2 / pairs))

    def calibration(self) -> pd.DataFrame:
        """A row a group of risk with patients: group, patients (mean over repeats), predicted, observed risk by the last
        interval."""
        n, at_risk, events = self.patients.sum(axis=0), self.at_risk.sum(axis=0), self.events.sum(axis=0)
        hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0)
        table = pd.DataFrame(
            {
                "group": np.arange(RISK_GROUPS),
                "patients": n / len(self.patients),
                "predicted": np.divide(self.risks.sum(axis=0), n, out=np.full(RISK_GROUPS, np.nan), where=n > 0),
                "observed": 1 - np.prod(1 - hazard, axis=1),
            }
        )
        return table[table["patients"] > 0].reset_index(drop=True)
