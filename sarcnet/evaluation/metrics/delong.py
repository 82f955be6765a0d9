r"""Variance of an AUC, and of the difference of two, in closed form: for fixed models on patients who taught them nothing.

DeLong, DeLong and Clarke-Pearson (Biometrics 1988) write an AUC as a mean over cases of :math:`A_i`, the weighted
share of controls below case :math:`i`, and as a mean over controls of :math:`B_j`, the weighted share of cases above
control :math:`j`. With weights for censoring (:mod:`sarcnet.evaluation.metrics.auc`) the influence of a patient is

.. math:: \psi_i = \frac{u_i}{\sum u} (A_i - \widehat{AUC}) + \frac{v_i}{\sum v} (B_i - \widehat{AUC}), \qquad
   \widehat{Var} = \sum_i \psi_i^2 \cdot \text{(DeLong's } m/(m-1) \text{ in each of both groups)}

(the influence function of Hung and Chiang, Canadian Journal of Statistics 2010, with known weights; that of Blanche
et al., Statistics in Medicine 2013, adds the estimation of the weights, which here
:meth:`sarcnet.evaluation.metrics.bootstrap.Resampled.influence` has). Without censoring this is DeLong's variance exactly. It
is not for cross-validated risks, which come from several models: take the bootstrap there.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from sarcnet.evaluation.metrics.auc import Followup, check, check_risk, weights
from sarcnet.evaluation.metrics.bootstrap import NAN, ROUNDING, Estimate, too_few


def influences(risk: np.ndarray, *, case: np.ndarray, control: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC of risks (n,) under weights (n,), and each patient's influence (n,): their squares sum to the variance."""
    cases, controls = np.flatnonzero(case > 0), np.flatnonzero(control > 0)
    above = (risk[cases, None] > risk[None, controls]) + 0.5 * (risk[cases, None] == risk[None, controls])
    u, v = case[cases] / case.sum(), control[controls] / control.sum()
    value = float(u @ above @ v)
    found = np.zeros(len(risk))
    for rows, share, own in ((cases, u, above @ v), (controls, v, u @ above)):
        m = len(rows)
        found[rows] += share * (own - value) * np.sqrt(m / (m - 1) if m > 1 else np.nan)
    return value, found


def _estimate(value: float, influence: np.ndarray, *, level: float, null: float) -> Estimate:
    error = float(np.sqrt((influence**2).sum()))
    if error < ROUNDING:
        return Estimate(value, NAN, NAN, 1.0 if value == null else NAN, "variance 0: no interval")
    width = float(norm.ppf((1 + level) / 2)) * error
    return Estimate(value, value - width, value + width, float(2 * norm.sf(abs(value - null) / error)))


def delong(
    risk: np.ndarray,
    followup: Followup,
    *,
    horizon_months: float,
    level: float,
    other: np.ndarray | None = None,
) -> Estimate:
    """AUC at the horizon of fixed risks (n,) with its interval and P against 0.5; with `other`, the difference and P against 0.

    Raises:
        SarcnetError: a risk is missing, or no AUC exists.
    """
    check(followup, horizon_months=horizon_months)
    case, control = (w[0] for w in weights(followup, horizon_months=horizon_months))
    value, influence = influences(check_risk(risk), case=case, control=control)
    null = 0.5
    if other is not None:
        second, theirs = influences(check_risk(other), case=case, control=control)
        value, influence, null = value - second, influence - theirs, 0.0
    if note := too_few(int((case > 0).sum()), int((control > 0).sum())):
        return Estimate(value, NAN, NAN, note=note)
    return _estimate(value, influence, level=level, null=null)
