r"""Gray's test: is the cumulative incidence of metastasis the same in all groups, while deaths compete?

The log-rank test compares hazards and takes those who died as censored. Gray (Annals of Statistics 1988;16:1141)
compares the incidences themselves: those who died stay, in part, under observation. With :math:`R_k = Y_k \hat G_k /
\hat S_k`, :math:`\hat G = 1 - \hat F_1`, all just before :math:`u`, group :math:`k` scores

.. math:: z_k = \sum_u \left( d_{1k} - \frac{R_k}{R_\cdot}\, d_{1\cdot} \right).

Its variance follows from the martingale representation of :math:`\hat F_1`; see :func:`gray_test`. Statistic and P are
those of R's cmprsk, also with ties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import CENSORED, DEATH, METASTASIS


@dataclass(frozen=True)
class GrayTest:
    """Statistic, degrees of freedom, P, and the score (K,) of each group: above 0, it has more metastases than expected."""

    statistic: float
    freedom: int
    p: float
    score: np.ndarray


def gray_test(months: np.ndarray, event: np.ndarray, group: np.ndarray) -> GrayTest:
    r"""Gray's test with weight 1 for metastasis, deaths competing.

    With :math:`h_r = Y_r / \hat S_r(u^-)`, the common incidence has the steps :math:`dF_1 = d_{1\cdot} / h_\cdot`. With
    :math:`G = 1 - F_1`, :math:`a_{kr} = h_r (\delta_{kr} - h_k / h_\cdot)`, what is still to come
    :math:`C_{kr}(u) = \int_u^\tau a_{kr}\, dF_1 / G^-` and :math:`\gamma_r = G / \hat S_r`, the variance of the scores is

    .. math:: \sum_r \sum_u [a + (1 - \gamma_r) C]_{kr} [a + (1 - \gamma_r) C]_{lr} \frac{dF_1}{h_r}
       + \gamma_r^2\, C_{kr} C_{lr} \frac{\hat S_r(u^-)^2 d_{2r}}{Y_r^2},

    each step times a factor for ties, one minus the ties beyond the first as a share of the others at risk.

    Args:
        months, event, group: (n,) each; event 0 censored, 1 metastasis, 2 death without metastasis.

    Raises:
        SarcnetError: fewer than two groups, or nobody with a metastasis.
    """
    names = np.unique(group)
    if len(names) < 2:
        raise SarcnetError(f"Gray's test needs two groups; all {len(group)} patients are in the same one.")
    if not (event == METASTASIS).any():
        raise SarcnetError(f"Gray's test cannot be made: none of {len(event)} patients had the event.")
    times = np.unique(months[event != CENSORED])
    own = group[None, :] == names[:, None]  # (K, n)
    then = months[None, :] == times[:, None]  # (U, n)
    first = own @ (then & (event == METASTASIS)).T.astype(float)  # (K, U)
    second = own @ (then & (event == DEATH)).T.astype(float)
    at_risk = own @ (months[None, :] >= times[:, None]).T.astype(float)
    safe = np.maximum(at_risk, 1.0)
    free = np.cumprod(1 - (first + second) / safe, axis=1)  # S(u)
    before = np.concatenate(
        [np.ones((len(names), 1)), free[:, :-1]], axis=1
    )  # S(u−), above 0 where somebody is at risk
    risen = before * first / safe
    left = 1 - np.cumsum(risen, axis=1) + risen  # 1 − F(u−)
    h = np.where(at_risk > 0, at_risk / np.where(at_risk > 0, before, 1.0), 0.0)
    staying, total = h * left, (h * left).sum(axis=0)
    score = (first - staying / np.maximum(total, 1e-300) * first.sum(axis=0)).sum(axis=1)  # (K,)
    variance = _variance(h, first=first.sum(axis=0), second=second, at_risk=at_risk, before=before, free=free)
    kept = slice(0, len(names) - 1)
    statistic = float(score[kept] @ np.linalg.pinv(variance[kept, kept]) @ score[kept])
    return GrayTest(statistic, len(names) - 1, float(chi2.sf(statistic, len(names) - 1)), score)


def _variance(
    h: np.ndarray, *, first: np.ndarray, second: np.ndarray, at_risk: np.ndarray, before: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """(K, K) covariance of the scores. Arrays are (K, U); `first` (U,) metastases of all groups together."""
    groups, whole = len(h), np.maximum(h.sum(axis=0), 1e-300)
    rising = first / whole  # dF_1 of all groups together
    stay = 1 - np.cumsum(rising)  # G(u)
    found = np.zeros((groups, groups))
    for r in range(groups):
        somebody = at_risk[r] > 0
        a = np.where(somebody, h[r] * ((np.arange(groups) == r)[:, None] - h / whole), 0.0)  # (K, U)
        steps = a * rising / (stay + rising)
        ahead = steps.sum(axis=1, keepdims=True) - np.cumsum(steps, axis=1)  # C, later times only
        ratio = np.where(free[r] > 0, stay / np.where(free[r] > 0, free[r], 1.0), 0.0)
        tied = _tied(first, whole * before[r])
        one = np.where(somebody, tied * rising / np.where(somebody, h[r], 1.0), 0.0)
        two = np.where(
            somebody, _tied(second[r], at_risk[r]) * second[r] * (before[r] / np.maximum(at_risk[r], 1)) ** 2, 0.0
        )
        b, c = a + (1 - ratio) * ahead, ratio * ahead
        found += (b * one) @ b.T + (c * two) @ c.T
    return found


def _tied(events: np.ndarray, at_risk: np.ndarray) -> np.ndarray:
    """(U,) factor by which a step's variance is smaller where events are tied."""
    return np.where(events > 1, 1 - (events - 1) / np.where(at_risk > 1, at_risk - 1, 1.0), 1.0)
