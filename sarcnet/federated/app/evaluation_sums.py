"""Judging the model where the patients are: sums over held-out patients that add over hospitals.

Each hospital predicts its own held-out patients and sends, for every repeat of the cross-validation,

- histograms of risk in fixed bins, one of the weights as cases and one as controls. The weights correct for patients
  lost before the horizon and depend on the hospital's own follow-up alone (`sarcnet.evaluation.metrics.auc`), so the sums are
  those of everybody together. A hospital that was not followed to the horizon sends empty histograms. From the two
  histograms follows the AUC of the *binned* risks exactly; the AUC of the risks themselves lies within half the share of
  case-control pairs that meet in one bin.
- for a few groups of risk: patients, sum of risks, and metastases and patients at risk by interval. From these follow
  predicted and observed risk of each group, exactly.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd

from sarcnet.evaluation.metrics.auc import Followup, weights
from sarcnet.federated.app.heldout_sums import RISK_BINS, RISK_GROUPS, EvaluationSums
from sarcnet.model.hazard import intervals


def evaluation_sums(
    oof: pd.DataFrame, *, outcome: pd.DataFrame, horizon_months: float, hazard_edges_months: tuple[float, ...]
) -> EvaluationSums:
    """Sums over these patients. oof: patient_id, repeat, risk of held-out patients; outcome: patient_id, centre,
    mfs_months, mfs_event."""
    known = oof[["patient_id", "repeat", "risk"]].merge(
        outcome[["patient_id", "centre", "mfs_months", "mfs_event"]], on="patient_id", validate="m:1"
    )
    edges = np.asarray(hazard_edges_months)
    edges = edges[edges <= horizon_months + 1e-9]
    each = [_of_repeat(rows, horizon_months, edges) for _, rows in known.groupby("repeat")]
    return EvaluationSums(*(np.stack([getattr(e, f.name) for e in each]) for f in fields(EvaluationSums)))


def _of_repeat(rows: pd.DataFrame, horizon_months: float, edges: np.ndarray) -> EvaluationSums:
    months, event = rows["mfs_months"].to_numpy(float), rows["mfs_event"].to_numpy(int)
    risk = rows["risk"].to_numpy(float)
    case, control = weights(Followup(months, event, rows["centre"].to_numpy(str)), horizon_months=horizon_months)
    bins = np.minimum((risk * RISK_BINS).astype(int), RISK_BINS - 1)
    group = np.minimum((risk * RISK_GROUPS).astype(int), RISK_GROUPS - 1)
    outcome = intervals(months, event, edges_months=[float(e) for e in edges])
    is_in = (group[None] == np.arange(RISK_GROUPS)[:, None]).astype(np.float64)  # (4, n)
    return EvaluationSums(
        cases=np.bincount(bins, case[0], RISK_BINS),
        controls=np.bincount(bins, control[0], RISK_BINS),
        patients=is_in.sum(axis=1),
        risks=is_in @ risk,
        at_risk=is_in @ outcome.at_risk.astype(np.float64),
        events=is_in @ outcome.event.astype(np.float64),
    )
