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

from sarcnet.evaluation.auc import DEATH, METASTASIS, Followup


def _steps(
    months: np.ndarray, event: np.ndarray, *, counts: np.ndarray, competing: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct times (U,), and at each of them metastases, deaths and patients at risk, (B, U)."""
    order = np.argsort(months, kind="stable")
    times, starts = np.unique(months[order], return_index=True)
    weights = counts[:, order].astype(float)
    metastases = np.add.reduceat(weights * (event[order] == METASTASIS), starts, axis=1)
    deaths = np.add.reduceat(weights * ((event[order] == DEATH) & competing), starts, axis=1)
    leaving = np.add.reduceat(weights, starts, axis=1)
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    return times, metastases, deaths, at_risk


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
    times, first, second, at_risk = _steps(followup.months, followup.event, counts=counts, competing=competing)
    upto = np.searchsorted(times, horizon_months, side="right")
    first, second, at_risk = first[:, :upto], second[:, :upto], np.maximum(at_risk[:, :upto], 1e-300)
    free = np.cumprod(1 - (first + second) / at_risk, axis=1)
    before = np.concatenate([np.ones((len(counts), 1)), free[:, :-1]], axis=1)[:, :upto]
    return (before * first / at_risk).sum(axis=1)


def curve(followup: Followup, *, competing: bool, level: float = 0.95) -> pd.DataFrame:
    """Incidence in time with pointwise bounds: months (from 0), risk, low, high.

    The variance is that of the martingale representation; the bounds are formed on the scale log(−log(1 − F)), on which
    they stay between 0 and 1 (Kalbfleisch and Prentice 2002, section 8.2).
    """
    ones = np.ones((1, len(followup)))
    times, first, second, at_risk = _steps(followup.months, followup.event, counts=ones, competing=competing)
    first, second, at_risk = first[0], second[0], at_risk[0]
    free = np.cumprod(1 - (first + second) / at_risk)
    before = np.concatenate([[1.0], free[:-1]])
    risk = np.cumsum(before * first / at_risk)
    ahead = risk[:, None] - risk[None, :]  # F(t) − F(u), (U, U)
    terms = ((before - ahead) ** 2 * first + ahead**2 * second) / at_risk**2
    error = np.sqrt(np.tril(terms).sum(axis=1))
    low, high = np.full(len(risk), np.nan), np.full(len(risk), np.nan)
    inside = (risk > 0) & (risk < 1) & (error > 0)
    scale = np.log(-np.log1p(-risk[inside]))
    width = norm.ppf((1 + level) / 2) * error[inside] / (-(1 - risk[inside]) * np.log1p(-risk[inside]))
    low[inside], high[inside] = (1 - np.exp(-np.exp(scale + sign * width)) for sign in (-1, 1))
    start = pd.DataFrame({"months": [0.0], "risk": [0.0], "low": [np.nan], "high": [np.nan]})
    return pd.concat(
        [start, pd.DataFrame({"months": times, "risk": risk, "low": low, "high": high})], ignore_index=True
    )


def at(table: pd.DataFrame, month: float) -> pd.Series:
    """The row of :func:`curve` that holds at `month`."""
    return table[table["months"] <= month].iloc[-1]


def pseudo_values(followup: Followup, *, horizon_months: float, competing: bool) -> np.ndarray:
    r"""(n,) what each patient contributes to the incidence: :math:`n \hat F - (n - 1) \hat F^{(-i)}`.

    Without censoring it is 1 for a metastasis by the horizon and 0 otherwise. Its mean given any variables known at
    the start is the risk given these (Andersen, Klein and Rosthøj, Biometrika 2003), when censoring does not depend
    on them.
    """
    n = len(followup)
    whole = incidence_at(followup, horizon_months=horizon_months, competing=competing)[0]
    without = np.ones((n, n)) - np.eye(n)
    return n * whole - (n - 1) * incidence_at(
        followup, horizon_months=horizon_months, competing=competing, counts=without
    )
