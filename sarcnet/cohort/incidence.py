r"""How many have had a metastasis by a given month: Aalen and Johansen's estimate, with death competing.

With :math:`Y` patients under observation just before :math:`u`, of whom :math:`d_1` have a metastasis and :math:`d_2`
die without one at :math:`u`,

.. math::
   \hat S(u) = \prod_{s \le u} \left(1 - \frac{d_1 + d_2}{Y}\right), \qquad
   \hat F_1(t) = \sum_{u \le t} \hat S(u^-)\, \frac{d_1(u)}{Y(u)}

(Aalen and Johansen, Scandinavian Journal of Statistics 1978). One minus Kaplan–Meier with deaths censored is the same
sum with :math:`d_2 = 0`: what would be seen if nobody died of anything else. It is never below Aalen–Johansen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from sarcnet.cohort.outcome import CENSORED, METASTASIS, Followup


def _steps(
    followup: Followup, *, counts: np.ndarray, competing: bool, cause: int = METASTASIS
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct times (U,), and at each of them events of the cause, other events and patients at risk, (B, U)."""
    order = np.argsort(followup.months, kind="stable")
    event = followup.event[order]
    times, starts = np.unique(followup.months[order], return_index=True)
    weights = counts[:, order].astype(float)
    first = np.add.reduceat(weights * (event == cause), starts, axis=1)
    other = np.add.reduceat(weights * ((event != cause) & (event != CENSORED) & competing), starts, axis=1)
    leaving = np.add.reduceat(weights, starts, axis=1)
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    return times, first, other, at_risk


def incidence_at(
    followup: Followup, *, horizon_months: float, competing: bool, counts: np.ndarray | None = None
) -> np.ndarray:
    """(B,) incidence of metastasis by the horizon in B resamples.

    Args:
        followup: n patients; their centres are not told apart.
        competing: Aalen–Johansen; otherwise one minus Kaplan–Meier, deaths censored.
        counts: (B, n) how often each patient counts; None for once each.

    Returns:
        The estimates; where the last patient under observation left before the horizon, the value reached by then.
    """
    counts = np.ones((1, len(followup))) if counts is None else counts
    times, first, second, at_risk = _steps(followup, counts=counts, competing=competing)
    upto = np.searchsorted(times, horizon_months, side="right")
    first, second, at_risk = first[:, :upto], second[:, :upto], np.maximum(at_risk[:, :upto], 1e-300)
    free = np.cumprod(1 - (first + second) / at_risk, axis=1)
    before = np.concatenate([np.ones((len(counts), 1)), free[:, :-1]], axis=1)[:, :upto]
    return (before * first / at_risk).sum(axis=1)


def curve(followup: Followup, *, competing: bool, cause: int = METASTASIS, level: float = 0.95) -> pd.DataFrame:
    r"""Incidence in time with its standard error and pointwise bounds: months (from 0), risk, error, low, high.

    `cause` is what is counted, metastasis or death without one; the other competes, or is censored. The centres are not
    told apart.

    With :math:`F_1(t) - F_1(u)` still to come and :math:`v_k = \hat S(u^-)^2\, d_k / Y^2` times a factor for ties, the
    variance is (Aalen, Annals of Statistics 1978; as in R's cmprsk)

    .. math:: \sum_{u \le t} \left(1 - \frac{F_1(t) - F_1(u)}{\hat S(u)}\right)^2 v_1(u)
       + \left(\frac{F_1(t) - F_1(u)}{\hat S(u)}\right)^2 v_2(u).

    The factor is :math:`(Y - d_k) / (Y - 1)`, and :math:`(Y - d_1) / Y` with deaths censored, which makes the variance
    Greenwood's. The bounds are formed on the scale log(−log(1 − F)), on which they stay between 0 and 1 (Kalbfleisch and
    Prentice 2002, section 8.2).
    """
    ones = np.ones((1, len(followup)))
    times, first, second, at_risk = _steps(followup, counts=ones, competing=competing, cause=cause)
    first, second, at_risk = first[0], second[0], at_risk[0]
    free = np.cumprod(1 - (first + second) / at_risk)
    before = np.concatenate([[1.0], free[:-1]])
    risk = np.cumsum(before * first / at_risk)
    others = np.maximum(at_risk - competing, 1.0)
    tied = [np.where(at_risk > competing, (at_risk - d) / others, 1.0) for d in (first, second)]
    v1, v2 = ((before / at_risk) ** 2 * d * factor for d, factor in zip((first, second), tied, strict=True))
    inverse = np.where(free > 1e-12, 1 / np.maximum(free, 1e-12), 0.0)  # nothing is to come when nobody stays
    begun = risk * inverse
    # The squares are multiplied out: sums over u of what depends on u, times powers of F(t).
    parts = ((1 + begun) ** 2 * v1 + begun**2 * v2, inverse * ((1 + begun) * v1 + begun * v2), inverse**2 * (v1 + v2))
    constant, linear, square = (np.cumsum(part) for part in parts)
    error = np.sqrt(np.maximum(constant - 2 * risk * linear + risk**2 * square, 0.0))
    low, high = _bounds(risk, error, level=level)
    start = pd.DataFrame({"months": [0.0], "risk": [0.0], "error": [0.0], "low": [np.nan], "high": [np.nan]})
    found = pd.DataFrame({"months": times, "risk": risk, "error": error, "low": low, "high": high})
    return pd.concat([start, found], ignore_index=True)


def _bounds(risk: np.ndarray, error: np.ndarray, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of incidences with these standard errors on the scale log(−log(1 − F)); NaN where there are none."""
    low, high = np.full(risk.shape, np.nan), np.full(risk.shape, np.nan)
    inside = (risk > 0) & (risk < 1 - 1e-9) & (error > 0)  # no bound at 1, when the last patient has the event
    scale = np.log(-np.log1p(-risk[inside]))
    width = norm.ppf((1 + level) / 2) * error[inside] / (-(1 - risk[inside]) * np.log1p(-risk[inside]))
    with np.errstate(over="ignore"):  # a bound of 1
        low[inside], high[inside] = (1 - np.exp(-np.exp(scale + sign * width)) for sign in (-1, 1))
    return low, high


def at(table: pd.DataFrame, month: float) -> pd.Series:
    """The row of :func:`curve` that holds at `month`."""
    return table[table["months"] <= month].iloc[-1]


def pseudo_values(followup: Followup, *, horizon_months: float, competing: bool) -> np.ndarray:
    r"""(n,) what each patient contributes to the incidence of its centre: :math:`m \hat F - (m - 1) \hat F^{(-i)}`.

    m is the centre's number of patients. Without censoring the value is 1 for a metastasis by the horizon and 0 otherwise.
    Its mean given any variables known at the start is the risk given these (Andersen, Klein and Rosthøj, Biometrika 2003)
    when, in each centre, censoring does not depend on them. Centres must not be pooled: where both their risks and their
    follow-up differ, censoring depends on the centre.
    """
    found = np.zeros(len(followup))
    for centre in np.unique(followup.centre):
        rows = np.flatnonzero(followup.centre == centre)
        own, m = followup.select(rows), len(rows)
        counts = np.vstack([np.ones(m), np.ones((m, m)) - np.eye(m)])
        values = incidence_at(own, horizon_months=horizon_months, competing=competing, counts=counts)
        found[rows] = m * values[0] - (m - 1) * values[1:]
    return found


def standardised(
    followup: Followup, *, horizon_months: float, competing: bool, level: float
) -> tuple[float, float, float]:
    """Incidence of metastasis by the horizon with bounds: the centres' own, weighted by their numbers of patients."""
    risk, error = _by_centre(followup, np.array([horizon_months]), competing=competing, cause=METASTASIS)
    low, high = _bounds(risk, error, level=level)
    return float(risk[0]), float(low[0]), float(high[0])


def standardised_curve(followup: Followup, *, cause: int, level: float = 0.95) -> pd.DataFrame:
    """Incidence in time as :func:`curve` has it, the centres' own weighted by their numbers of patients.

    It ends where the follow-up of the first centre ends. Pooled, the curve would show a mixture that changes in time: more
    and more of the centre that watches for longer.
    """
    ends = min(followup.months[followup.centre == centre].max() for centre in np.unique(followup.centre))
    months = np.unique([0.0, *followup.months[followup.months <= ends]])
    risk, error = _by_centre(followup, months, competing=True, cause=cause)
    low, high = _bounds(risk, error, level=level)
    return pd.DataFrame({"months": months, "risk": risk, "error": error, "low": low, "high": high})


def _by_centre(followup: Followup, months: np.ndarray, *, competing: bool, cause: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean over patients of their centre's incidence at these months (T,), and its standard error (T,)."""
    risk, variance = np.zeros(len(months)), np.zeros(len(months))
    for centre in np.unique(followup.centre):
        own = followup.select(followup.centre == centre)
        share, steps = len(own) / len(followup), curve(own, competing=competing, cause=cause)
        then = np.searchsorted(steps["months"].to_numpy(), months, side="right") - 1
        risk += share * steps["risk"].to_numpy()[then]
        variance += (share * steps["error"].to_numpy()[then]) ** 2
    return risk, np.sqrt(variance)
