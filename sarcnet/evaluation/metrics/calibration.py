r"""Are predicted risks true as numbers, when some patients are lost and some die first?

Each patient's outcome at the horizon is replaced by a pseudo-value
(:func:`sarcnet.cohort.incidence.pseudo_values`), formed in each hospital, which has the right mean whether or not the
patient was lost. Hospitals that were not followed to the horizon are left out.
With death competing the pseudo-values come from Aalen–Johansen, without from Kaplan–Meier. The calibration line is

.. math:: \log(-\log(1 - o)) = a + b \log(-\log(1 - r)),

fitted to them by least squares on the scale of risks with a sandwich variance (van Geloven et al., BMJ
2022;377:e069249). :math:`b = 1` is ideal; below 1 the model is too bold. The intercept is :math:`a` with :math:`b`
held at 1: 0 is ideal, above 0 risks are understated. The ICI is the mean distance between predicted risk and a smooth
curve through the pseudo-values (Austin and Steyerberg, Statistics in Medicine 2019), here local regression of degree
1 with tricube weights over the nearest 75 % of patients (Cleveland, JASA 1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.stats import norm

from sarcnet.cohort.incidence import pseudo_values, standardised
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup, check_probability
from sarcnet.evaluation.metrics.bootstrap import NAN, Estimate, too_few

SPAN = 0.75
EDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Intercept, slope and ICI with intervals, mean predicted and observed risk, and the curve.

    smooth: predicted, observed, low, high.
    """

    intercept: Estimate
    slope: Estimate
    ici: Estimate
    predicted: float
    observed: float
    smooth: pd.DataFrame


def _loglog(risk: np.ndarray) -> np.ndarray:
    return np.log(-np.log1p(-np.clip(risk, EDGE, 1 - EDGE)))


def line(risk: np.ndarray, observed: np.ndarray, *, slope: bool, level: float) -> Estimate:
    """Slope (or, with the slope held at 1, intercept) of the calibration line with its sandwich interval."""
    x = _loglog(risk)

    def mean(parameters: np.ndarray) -> np.ndarray:
        a, b = parameters if slope else (parameters[0], 1.0)
        return -np.expm1(-np.exp(np.clip(a + b * x, -30, 5)))

    start = [0.0, 1.0] if slope else [0.0]
    fit = least_squares(lambda parameters: mean(parameters) - observed, start)
    bread = np.linalg.pinv(fit.jac.T @ fit.jac)
    meat = (fit.jac * fit.fun[:, None]).T @ (fit.jac * fit.fun[:, None])
    error = float(np.sqrt((bread @ meat @ bread)[-1, -1]))
    value, width = float(fit.x[-1]), float(norm.ppf((1 + level) / 2)) * error
    return Estimate(value, value - width, value + width)


def smoother(risk: np.ndarray, at_risk: np.ndarray, *, span: float = SPAN) -> np.ndarray:
    """(m, n) tricube weights of n patients at m risks, over the nearest `span` of the patients."""
    distance = np.abs(at_risk[:, None] - risk[None, :])
    k = max(3, int(span * len(risk) + 1e-5)) - 1
    width = np.maximum(np.partition(distance, min(k, len(risk) - 1), axis=1)[:, [min(k, len(risk) - 1)]], 1e-9)
    return np.clip(1 - (distance / (width * 1.0001)) ** 3, 0, None) ** 3


def smooth(
    risk: np.ndarray, observed: np.ndarray, *, at_risk: np.ndarray, kernel: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """(B, m) local lines through (risk, observed), each (n,), at m risks, in B resamples with counts (B, n)."""
    sums = [counts @ (kernel * term).T for term in (1.0, risk, risk**2, observed, risk * observed)]
    s0, s1, s2, y0, y1 = sums
    spread = s0 * s2 - s1**2
    steep = np.where(spread > 1e-12 * s0**2, (s0 * y1 - s1 * y0) / np.where(spread > 0, spread, 1.0), 0.0)
    middle = s1 / np.maximum(s0, 1e-300)
    return np.clip(y0 / np.maximum(s0, 1e-300) + steep * (at_risk[None, :] - middle), 0, 1)


def calibrate(
    risk: np.ndarray,
    followup: Followup,
    *,
    horizon_months: float,
    competing: bool,
    level: float,
    counts: np.ndarray,
) -> Calibration:
    """Calibration of risks (n,) at the horizon.

    Args:
        competing: observed risk by Aalen–Johansen, as patients live it; otherwise by Kaplan–Meier, deaths censored.
        counts: (B, n) resamples for the intervals of the curve and the ICI; the pseudo-values are kept.

    Raises:
        SarcnetError: a risk is missing or no probability; all risks are alike; no metastasis by the horizon.
    """
    judged = followup.is_judged(horizon_months)
    risk, followup, counts = check_probability(risk)[judged], followup.select(judged), counts[:, judged]
    if len(np.unique(risk)) < 3:
        raise SarcnetError(f"{len(np.unique(risk))} different risks: a calibration line needs three at least.")
    if not followup.is_case(horizon_months).any():
        raise SarcnetError(
            f"None of {len(followup)} patients had the event by {horizon_months:g} months: nothing to calibrate against."
        )
    observed = pseudo_values(followup, horizon_months=horizon_months, competing=competing)
    cases, controls = followup.is_case(horizon_months), followup.is_control(horizon_months)
    note = too_few(int(cases.sum()), int(controls.sum()))
    grid = np.quantile(risk, np.linspace(0.01, 0.99, 50))
    whole, tail = np.ones((1, len(risk))), (1 - level) / 2
    kernel = smoother(risk, grid)
    curves = smooth(risk, observed, at_risk=grid, kernel=kernel, counts=counts)
    low, high = np.quantile(curves, [tail, 1 - tail], axis=0)
    own = smooth(risk, observed, at_risk=risk, kernel=smoother(risk, risk), counts=np.vstack([whole, counts]))
    distance = np.abs(own - risk[None, :])
    # The bias of an absolute distance is positive and doubles in resamples: the basic interval takes it off. Where it is
    # so large that the interval would end below the distance itself, the interval is widened up to it.
    ici = float(distance[0].mean())
    drawn = (distance[1:] * counts).sum(axis=1) / counts.sum(axis=1)
    bounds = np.quantile(drawn, [tail, 1 - tail])
    middle = smooth(risk, observed, at_risk=grid, kernel=kernel, counts=whole)[0]
    return Calibration(
        intercept=_noted(line(risk, observed, slope=False, level=level), note),
        slope=_noted(line(risk, observed, slope=True, level=level), note),
        ici=_noted(Estimate(ici, float(max(0.0, 2 * ici - bounds[1])), float(max(ici, 2 * ici - bounds[0]))), note),
        predicted=float(risk.mean()),
        observed=float(observed.mean()),
        smooth=pd.DataFrame({"predicted": grid, "observed": middle, "low": low, "high": high}),
    )


def _noted(found: Estimate, note: str) -> Estimate:
    """The estimate, without its interval where the note says why there is none."""
    return Estimate(found.value, NAN, NAN, note=note) if note else found


def by_group(
    risk: np.ndarray, followup: Followup, *, horizon_months: float, groups: int, competing: bool, level: float
) -> pd.DataFrame:
    """Predicted (mean) against observed risk in groups of equal size by predicted risk: predicted, observed, low, high, n.

    Raises:
        SarcnetError: too few different risks for so many groups.
    """
    judged = followup.is_judged(horizon_months)
    risk, followup = check_probability(risk)[judged], followup.select(judged)
    if len(np.unique(risk)) < groups:
        raise SarcnetError(f"{len(np.unique(risk))} different risks cannot be put into {groups} groups.")
    places = pd.qcut(pd.Series(risk).rank(method="first"), groups, labels=False).to_numpy()
    rows = []
    for group in range(groups):
        own = np.flatnonzero(places == group)
        seen = standardised(followup.select(own), horizon_months=horizon_months, competing=competing, level=level)
        rows.append((risk[own].mean(), *seen, len(own)))
    return pd.DataFrame(rows, columns=["predicted", "observed", "low", "high", "n"])
