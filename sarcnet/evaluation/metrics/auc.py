r"""Area under the ROC curve at a horizon, when some patients are lost before it and some die without metastasis.

Cases are patients with a metastasis by the horizon :math:`t`; controls are all others, also those who died before
:math:`t` without a metastasis (definition (ii) of Blanche, Dartigues and Jacqmin-Gadda, Statistics in Medicine 2013).
A patient censored before :math:`t` is neither, but is stood for by similar patients who were watched for longer
(inverse probability of censoring weights):

.. math::
   \widehat{AUC}(t) = \frac{\sum_i \sum_j u_i v_j \left(1[m_i > m_j] + \tfrac12 1[m_i = m_j]\right)}{\sum_i u_i \sum_j v_j}

with :math:`u_i = 1 / G(T_i^-)` for cases, :math:`v_j = 1 / G(T_j^-)` for those who died before :math:`t` and
:math:`1 / G(t^-)` for those known free at :math:`t`, also when they were last seen at :math:`t` itself; :math:`G` is the
Kaplan–Meier estimate of remaining uncensored, in each centre. With these conventions all weights add up to the number
of patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import CENSORED, DEATH, METASTASIS, Followup, not_followed
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.failure_log import FailureLog

__all__ = ["CENSORED", "DEATH", "METASTASIS", "Followup"]  # defined in sarcnet.cohort.outcome


def check(followup: Followup, *, horizon_months: float) -> None:
    """Refuse data in which no AUC at the horizon exists.

    Raises:
        SarcnetError: with the reason: no patient, no centre followed to the horizon, no case, or no control.
    """
    if not len(followup):
        raise SarcnetError("There is no patient with a known outcome, so there is no AUC.")
    judged = followup.select(followup.is_judged(horizon_months))
    said = " ".join(not_followed(followup, horizon_months=horizon_months))
    if not len(judged):
        raise SarcnetError(f"{said} Choose an earlier horizon_months.")
    kinds = {"had the event": judged.is_case, "is known to have been free of it": judged.is_control}
    for kind, found in kinds.items():
        if not found(horizon_months).any():
            raise SarcnetError(
                f"None of {len(judged)} patients {kind} by {horizon_months:g} months: no AUC exists. {said}".strip()
            )


def check_risk(risk: np.ndarray) -> np.ndarray:
    """The risks (n,) as floats; raises SarcnetError when one is missing."""
    risk = np.asarray(risk, dtype=float)
    if np.isnan(risk).any():
        raise SarcnetError(f"{int(np.isnan(risk).sum())} of {len(risk)} patients have no predicted risk (NaN).")
    return risk


def check_probability(risk: np.ndarray) -> np.ndarray:
    """The risks (n,) as floats; raises SarcnetError when one is missing or no probability."""
    risk = check_risk(risk)
    outside = (risk < 0) | (risk > 1)
    if outside.any():
        raise SarcnetError(
            f"{int(outside.sum())} of {len(risk)} risks are no probabilities, the first of them {risk[outside][0]:g}: "
            "calibration, Brier score and net benefit are defined for probabilities only."
        )
    return risk


def uncensored(
    fitted: Followup, *, counts: np.ndarray, at: Followup, horizon_months: float
) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan–Meier estimates of remaining uncensored, for each centre by itself, since hospitals follow up differently.

    Where an event and a censoring share a time the event comes first. A centre of `at` that was not fitted gets the
    estimate of all fitted patients together.

    Args:
        fitted: the n patients on whom it is estimated.
        counts: (B, n) how often each of them counts, in B resamples.
        at: the m patients for whom it is wanted.

    Returns:
        G just before each patient's own time, (B, m), and just before the horizon in the patient's centre, (B, m).
    """
    before = np.ones((len(counts), len(at)))
    horizon = np.ones((len(counts), len(at)))
    for centre in np.unique(at.centre):
        rows = np.flatnonzero(fitted.centre == centre)
        rows = rows if len(rows) else np.arange(len(fitted))
        order = rows[np.lexsort((fitted.event[rows] == CENSORED, fitted.months[rows]))]
        times, lost = fitted.months[order], fitted.event[order] == CENSORED
        weights = counts[:, order].astype(float)
        at_risk = np.cumsum(weights[:, ::-1], axis=1)[:, ::-1]
        steps = 1.0 - np.where(lost & (at_risk > 0), weights / np.maximum(at_risk, 1e-300), 0.0)
        curve = np.concatenate([np.ones((len(counts), 1)), np.cumprod(steps, axis=1)], axis=1)  # (B, n + 1)
        own = np.flatnonzero(at.centre == centre)
        before[:, own] = curve[:, np.searchsorted(times, at.months[own], side="left")]
        horizon[:, own] = curve[:, [np.searchsorted(times, horizon_months, side="left")]]
    return before, horizon


def weights(
    followup: Followup, *, horizon_months: float, counts: np.ndarray | None = None, fitted: Followup | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights as cases and as controls, each (B, n), of the n patients in B resamples.

    The censoring is a property of the patients judged, so it is estimated on them, resampled likewise. Then the weights
    of the centres followed to the horizon add up to their numbers of patients exactly; the others have weight 0.

    Args:
        followup: the patients to be told apart.
        horizon_months: t.
        counts: (B, n) how often each patient counts; None for once each (B = 1).
        fitted: other patients on whom to estimate the censoring, to see how much depends on it.

    Returns:
        Weights as cases and as controls, (B, n) each.
    """
    counts = np.ones((1, len(followup))) if counts is None else counts
    source = followup if fitted is None else fitted
    source_counts = counts if fitted is None else np.ones((1, len(fitted)))
    before, horizon = uncensored(source, counts=source_counts, at=followup, horizon_months=horizon_months)
    counted = counts * _judged(followup, counts, horizon_months)
    free, case = followup.is_free(horizon_months), followup.is_case(horizon_months)
    remaining = np.where(free, horizon, before)
    weight = np.where(remaining > 0, counted / np.maximum(remaining, 1e-300), 0.0)
    return weight * case, weight * followup.is_control(horizon_months)


def _judged(followup: Followup, counts: np.ndarray, horizon_months: float) -> np.ndarray:
    """(B, n) whether each patient's centre, as it is in each resample, was followed to the horizon."""
    free, lost = followup.is_free(horizon_months), followup.is_lost(horizon_months)
    judged = np.zeros(counts.shape, bool)
    for centre in np.unique(followup.centre):
        own = followup.centre == centre
        frees, losses = (counts[:, own & kind].sum(axis=1) for kind in (free, lost))
        judged[:, own] = ((frees > 0) | (losses == 0))[:, None]
    return judged


def effective_number(weight: np.ndarray) -> np.ndarray:
    """(...,) number of equally weighted patients that would be as informative: (Σw)² / Σw² (Kish 1965).

    Args:
        weight: (..., n) weights of n patients, of one resample or of many.

    Returns:
        (...,) effective numbers; 0 where all weights are 0.
    """
    squares = (weight**2).sum(axis=-1)
    return np.where(squares > 0, weight.sum(axis=-1) ** 2 / np.where(squares > 0, squares, 1.0), 0.0)


def weighted_auc(risk: np.ndarray, *, case: np.ndarray, control: np.ndarray) -> np.ndarray:
    """(B,) areas for the risks (n,) of n patients with weights (B, n) as cases and as controls; NaN where one is empty."""
    order = np.argsort(risk, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(risk[order]) > 0]))  # of each group of equal risks
    cases = np.add.reduceat(case[:, order], starts, axis=1)
    controls = np.add.reduceat(control[:, order], starts, axis=1)
    below = np.cumsum(controls, axis=1) - controls / 2
    total = cases.sum(axis=1) * controls.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (cases * below).sum(axis=1) / total, np.nan)


def auc(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """AUC at the horizon of risks (n,): how often a case has the higher risk than a control.

    The risks must be predictions for patients who took no part in fitting them; a risk fitted on the same patients
    gives a flattering value.

    Raises:
        SarcnetError: a risk is missing, or no AUC exists (see :func:`check`).
    """
    check(followup, horizon_months=horizon_months)
    risk = check_risk(risk)
    case, control = weights(followup, horizon_months=horizon_months)
    return float(weighted_auc(risk, case=case, control=control)[0])


def auc_of(rows: pd.DataFrame, *, horizon_months: float, log: FailureLog) -> float:
    """AUC at the horizon of a table with risk, mfs_months, mfs_event and centre; NaN, and a sentence, where none exists.

    Args:
        rows: table with risk, mfs_months, mfs_event and centre.
        horizon_months: horizon of the outcome, in months.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        The AUC, or NaN.
    """
    risk, followup = rows["risk"].to_numpy(float), Followup.of(rows)
    log.add(*not_followed(followup, horizon_months=horizon_months))
    judged = followup.is_judged(horizon_months)
    if len(followup) and not judged.any():
        return float("nan")
    found = log("AUC", auc, risk[judged], followup.select(judged), horizon_months=horizon_months)
    return float("nan") if found is None else found


def naive_auc(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """AUC without patients lost before the horizon: simple, and biased when the loss depends on the outcome."""
    check(followup, horizon_months=horizon_months)
    judged = followup.is_judged(horizon_months)
    kinds = (followup.is_case, followup.is_control)
    case, control = (np.where(judged & kind(horizon_months), 1.0, 0.0)[None, :] for kind in kinds)
    return float(weighted_auc(check_risk(risk), case=case, control=control)[0])
