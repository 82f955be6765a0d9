r"""How much of what could be won was won: (AUC − clinical) / (oracle − clinical), with an interval.

The oracle knows the true risk, the clinical model has no slide; between them lies what any model of slides can win. A
ratio of two uncertain differences has no symmetric interval. Fieller's (1954) holds those shares :math:`\rho` that
the data do not reject:

.. math:: (w - \rho r)^2 \le z^2 (s_{ww} - 2 \rho s_{wr} + \rho^2 s_{rr})

with :math:`w` the gain won, :math:`r` the room, and their covariance :math:`s` from the paired resamples. Where the
room itself may be nothing, no share can be excluded at one or both ends, and the bound is infinite.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from sarcnet.evaluation.bootstrap import Estimate, Resampled


def share_attained(resampled: Resampled, *, model: str, clinical: str, oracle: str) -> Estimate:
    """Share of the room between `clinical` and `oracle` that `model` wins; infinite bounds where none can be given."""
    draws, point = resampled.draws, resampled.point
    won, room = point[model] - point[clinical], point[oracle] - point[clinical]
    gaps = np.stack([draws[model] - draws[clinical], draws[oracle] - draws[clinical]])
    s = np.cov(gaps[:, np.isfinite(gaps).all(axis=0)])
    z2 = float(norm.ppf((1 + resampled.level) / 2)) ** 2
    a, b, c = room**2 - z2 * s[1, 1], won * room - z2 * s[0, 1], won**2 - z2 * s[0, 0]
    value = won / room if room else float("nan")
    root = b**2 - a * c
    if a <= 0 or root < 0:
        return Estimate(value, -np.inf, np.inf)
    return Estimate(value, float((b - np.sqrt(root)) / a), float((b + np.sqrt(root)) / a))


def attained_sentence(share: Estimate, *, level: float) -> str:
    """The share as a sentence, also where it has no bounds."""
    if not np.isfinite(share.low):
        return (
            f"Share of the attainable improvement won: {share.value:.2f}; the room between the clinical model and the "
            f"oracle is itself so uncertain here that no {level:.0%} interval of the share exists: more patients are needed."
        )
    return f"Share of the attainable improvement won: {share.value:.2f} ({share.low:.2f} to {share.high:.2f})."
