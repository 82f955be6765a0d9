r"""Concordance over all of the follow-up up to a time: Uno's C, weighted for censoring, and Harrell's, which is not.

A pair is comparable when patient :math:`i` had a metastasis at :math:`T_i \le \tau` while :math:`j` had none by then:
watched for longer, or dead before without one (Wolbers et al., Biostatistics 2014). With :math:`G` the probability of
remaining uncensored,

.. math::
   C = \frac{\sum_{ij} W_{ij} \left(1[m_i > m_j] + \tfrac12 1[m_i = m_j]\right)}{\sum_{ij} W_{ij}}, \qquad
   W_{ij} = \begin{cases} 1 / (G(T_i^-)\, G_j(T_i)) & T_j > T_i \\
   1 / (G(T_i^-)\, G_j(T_j^-)) & j \text{ died},\ T_j \le T_i \end{cases}

Without deaths this is Uno's C (Statistics in Medicine 2011); with all weights 1, Harrell's. Harrell's C depends on
how long patients happened to be watched; it is given because readers know it.
"""

from __future__ import annotations

import numpy as np

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import CENSORED, DEATH, Followup, check_risk, uncensored


def concordance(risk: np.ndarray, followup: Followup, *, upto_months: float, weighted: bool) -> float:
    """Uno's C (`weighted`) or Harrell's C of risks (n,) for metastases by `upto_months`.

    Raises:
        SarcnetError: a risk is missing, or no pair can be compared.
    """
    once = np.ones((1, len(followup)))
    return float(
        resampled_concordance(risk[:, None], followup, counts=once, upto_months=upto_months, weighted=weighted)[0]
    )


def resampled_concordance(
    risks: np.ndarray, followup: Followup, *, counts: np.ndarray, upto_months: float, weighted: bool
) -> np.ndarray:
    """(B,) concordance in B resamples, averaged over R repeats; the censoring is estimated once, on all patients.

    Args:
        risks: (n, R) predicted risks of n patients.
        followup: of the n patients.
        counts: (B, n) how often each patient counts in each resample.
        upto_months: metastases up to this time are ranked.
        weighted: whether pairs are weighted for censoring (Uno) or not (Harrell).

    Raises:
        SarcnetError: a risk is missing, or no pair can be compared.
    """
    check_risk(risks.ravel())
    if weighted:
        judged = followup.is_judged(upto_months)
        risks, followup, counts = risks[judged], followup.select(judged), counts[:, judged]
    months, event = followup.months, followup.event
    cases = np.flatnonzero(followup.is_case(upto_months))
    later = months[None, :] > months[cases, None]  # (cases, n)
    later |= (months[None, :] == months[cases, None]) & (event[None, :] == CENSORED)  # censored then, so still free
    died = (event == DEATH)[None, :] & (months[None, :] <= months[cases, None])
    if not (later | died).any():
        raise SarcnetError(f"No pair of {len(followup)} patients can be compared up to {upto_months:g} months.")
    pairs = _weights(followup, cases, later=later, died=died) if weighted else (later | died).astype(float)
    above = np.zeros(pairs.shape)
    for risk in risks.T:
        above += (risk[cases, None] > risk[None, :]) + 0.5 * (risk[cases, None] == risk[None, :])
    of_cases = counts[:, cases].astype(float)
    won, all_pairs = (((of_cases @ table) * counts).sum(axis=1) for table in (pairs * above / risks.shape[1], pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(all_pairs > 0, won / all_pairs, np.nan)


def _weights(followup: Followup, cases: np.ndarray, *, later: np.ndarray, died: np.ndarray) -> np.ndarray:
    """(cases, n) weights of the pairs; G is that of each patient's own centre."""
    once = np.ones((1, len(followup)))
    before = uncensored(followup, counts=once, at=followup, horizon_months=0.0)[0][0]  # G(T−), (n,)
    partner = np.zeros(later.shape)
    for centre in np.unique(followup.centre):
        there = np.flatnonzero(followup.centre == centre)
        times = followup.months[cases]
        probe = Followup(np.nextafter(times, np.inf), np.zeros(len(cases), int), np.full(len(cases), centre))
        at_case = uncensored(followup, counts=once, at=probe, horizon_months=0.0)[0][0]  # G of that centre at T_i
        partner[:, there] = np.where(at_case > 0, 1 / np.maximum(at_case, 1e-300), 0.0)[:, None]
    dead = np.where(before > 0, 1 / np.maximum(before, 1e-300), 0.0)
    return (later * partner + died * dead[None, :]) * dead[cases, None]
