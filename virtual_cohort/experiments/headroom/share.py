r"""How much of what could be won was won: (AUC − base) / (oracle − base), with an interval.

The base is the best model without a slide, so that nothing is credited to the slide that clinical variables tell; it is
the best of several on these patients, which makes the share slightly too small. The oracle knows the true risk. A
ratio of two uncertain differences has no symmetric interval. Fieller's (1954) holds those shares :math:`\rho` that
the data do not reject:

.. math:: (w - \rho r)^2 \le z^2 (s_{ww} - 2 \rho s_{wr} + \rho^2 s_{rr})

with :math:`w` the gain won, :math:`r` the room, and their covariance :math:`s` from the paired resamples. Where the
room itself may be nothing, no share can be excluded at one or both ends, and the bound is infinite.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from sarcnet.evaluation.comparators.cox import CLINICAL, FNCLCC, SARCULATOR_VARIABLES, WITH_AGE
from sarcnet.evaluation.metrics.bootstrap import NAN, NO_SPREAD, ROUNDING, Estimate, Resampled, too_few
from sarcnet.model.names.words import label

WITHOUT_SLIDE = (CLINICAL, WITH_AGE, SARCULATOR_VARIABLES, "clinical_only", FNCLCC)

ORACLE = "oracle"


def oracle_risks(truth: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """True 5-year risks of these simulated patients.

    Args:
        truth: one row per simulated patient, with patient_id, centre and risk_5y_true.
        patients: those wanted, with patient_id.

    Returns:
        patient_id, centre, model, risk.
    """
    rows = truth[truth["patient_id"].isin(patients["patient_id"])].reset_index(drop=True)
    return rows[["patient_id", "centre"]].assign(model=ORACLE, risk=rows["risk_5y_true"])


def share_of_headroom(resampled: Resampled, *, model: str, base: str, oracle: str) -> Estimate:
    """Share of the room between `base` and `oracle` that `model` wins (Fieller 1954).

    Args:
        resampled: AUCs of the models on the same resamples.
        model: the model in question.
        base: the model that the room starts from.
        oracle: the model that the room ends at.

    Returns:
        The share with its interval; infinite bounds where none can be given.
    """
    draws, point = resampled.draws, resampled.point
    note = too_few(resampled.cases, resampled.controls)
    won, room = point[model] - point[base], point[oracle] - point[base]
    gaps = np.stack([draws[model] - draws[base], draws[oracle] - draws[base]])
    s = np.cov(gaps[:, np.isfinite(gaps).all(axis=0)])
    z2 = float(norm.ppf((1 + resampled.level) / 2)) ** 2
    a, b, c = room**2 - z2 * s[1, 1], won * room - z2 * s[0, 1], won**2 - z2 * s[0, 0]
    value = won / room if room else float("nan")
    note = note or ("" if room else "there is no room: no interval")
    if note:
        return Estimate(value, NAN, NAN, note=note)
    root = b**2 - a * c
    if a <= 0 or root < 0:
        return Estimate(value, -np.inf, np.inf)
    low, high = float((b - np.sqrt(root)) / a), float((b + np.sqrt(root)) / a)
    return Estimate(value, low, high) if high - low > ROUNDING else Estimate(value, NAN, NAN, note=NO_SPREAD)


def best_without_slide(resampled: Resampled) -> str:
    """Find the model with the largest AUC of those that see no slide.

    Args:
        resampled: AUCs of the models.

    Returns:
        Its name; empty where there is none.
    """
    there = [name for name in WITHOUT_SLIDE if name in resampled.point]
    return max(there, key=lambda name: resampled.point[name], default="")


def headroom_text(share: Estimate, *, level: float, base: str) -> str:
    """Write the share as a sentence, also where it has no bounds.

    Args:
        share: from `share_of_headroom`.
        level: coverage of its interval.
        base: the model that it counts from.

    Returns:
        The sentence.
    """
    room = f"the room between {label(base)}, the best model without a slide, and the oracle"
    if share.note:
        return f"Share won of {room}: {share.text('.2f')}."
    if not np.isfinite(share.low):
        return (
            f"Share won of {room}: {share.value:.2f}; this room is itself so uncertain here that no {level:.0%} interval "
            "of the share exists: more patients are needed."
        )
    shown = share.where(
        0,
        above="the slide adds to what is known without it",
        below="the model does worse than one without a slide",
        neither="it is not shown that the slide adds anything",
    )
    return f"Share won of {room}: {share.text('.2f')}; {shown}."
