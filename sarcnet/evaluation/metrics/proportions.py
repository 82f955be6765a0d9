r"""Intervals of proportions that hold for few patients, also when all or none of them are counted.

Patients weighted for censoring count as :math:`n_{eff} = (\sum w)^2 / \sum w^2` of equal weight (Kish, Survey Sampling
1965); the weights themselves are taken as known.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from sarcnet.evaluation.metrics.auc import effective_number
from sarcnet.evaluation.metrics.bootstrap import NAN, Estimate


def wilson(share: float, n: float, *, level: float) -> Estimate:
    """Wilson's score interval of a proportion observed in n (effective) patients (Wilson, JASA 1927)."""
    if not n > 0:
        return Estimate(NAN, NAN, NAN, note="nobody to count")
    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    width = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Estimate(share, float(max(0.0, min(middle - width, share))), float(min(1.0, max(middle + width, share))))


def net_share(right: np.ndarray, wrong: np.ndarray, *, weight: np.ndarray, level: float) -> Estimate:
    """Share of patients that move the right way minus the share that move the wrong way, (n,) of bool and weights (n,).

    The interval is Agresti and Min's (Statistics in Medicine 2005): half a patient is added to each of the four kinds of
    pairs, so that it has a width even where nobody moves.
    """
    total, n = weight.sum(), float(effective_number(weight))
    if not n > 0:
        return Estimate(NAN, NAN, NAN, note="nobody to count")
    up, down = float(weight @ right / total), float(weight @ wrong / total)
    more, less = ((share * n + 0.5) / (n + 2) for share in (up, down))
    width = float(norm.ppf((1 + level) / 2)) * np.sqrt((more + less - (more - less) ** 2) / (n + 2))
    return Estimate(up - down, float(max(-1.0, more - less - width)), float(min(1.0, more - less + width)))
