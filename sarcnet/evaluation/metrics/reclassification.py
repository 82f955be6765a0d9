"""Who changes group when one score is put in the place of another, and what happened to those who did.

Each patient is high or low risk under an old and a new score. The table counts the four kinds and gives each kind's
incidence of metastasis at the horizon (Aalen–Johansen): whoever moves up should have had more metastases than whoever
moves down. The net shares of cases and of controls that move the right way are given apart, never added up: a sum
hides which of both moved (Pepe et al., Statistics in Medicine 2015, on the misuse of the net reclassification index).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.incidence import standardised
from sarcnet.evaluation.metrics.auc import Followup, check, weights
from sarcnet.evaluation.metrics.bootstrap import Estimate
from sarcnet.evaluation.metrics.proportions import net_share

KINDS = {
    "high in both": (True, True),
    "moved up (low, now high)": (False, True),
    "moved down (high, now low)": (True, False),
    "low in both": (False, False),
}


@dataclass(frozen=True)
class Moves:
    """table: kind, n, incidence of the event at the horizon, low, high. cases, controls: net share that moves the right way."""

    table: pd.DataFrame
    cases: Estimate
    controls: Estimate


def moves(old: np.ndarray, new: np.ndarray, followup: Followup, *, horizon_months: float, level: float) -> Moves:
    """Moves between two groupings, each (n,) of bool with True for high risk.

    Raises:
        SarcnetError: no case by the horizon, or nobody watched to it.
    """
    check(followup, horizon_months=horizon_months)
    rows, judged = [], followup.is_judged(horizon_months)
    for kind, (before, after) in KINDS.items():
        own = np.flatnonzero((old == before) & (new == after) & judged)
        there = followup.select(own)
        numbers = (
            standardised(there, horizon_months=horizon_months, competing=True, level=level)
            if len(own)
            else (np.nan,) * 3
        )
        rows.append((kind, len(own), *numbers))
    case, control = (weight[0] for weight in weights(followup, horizon_months=horizon_months))
    return Moves(
        pd.DataFrame(rows, columns=["group", "n", "incidence", "low", "high"]),
        cases=net_share(new & ~old, old & ~new, weight=case, level=level),
        controls=net_share(old & ~new, new & ~old, weight=control, level=level),
    )
