"""Sensitivity of AUC and Brier score to the assumption that patients are lost at random within a hospital.

The usual weights let the probability of remaining uncensored differ between hospitals only. If patients who are lost
are older, of higher grade or at higher risk than those who stay, these weights are wrong. Here the probability follows
a Cox model of censoring on such covariates, with a baseline of its own for each hospital (Robins and Finkelstein,
Biometrics 2000;56:779-788; Gerds and Schumacher, Biometrical Journal 2006;48:1029-1040).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import CENSORED, Followup, check, weighted_auc, weights
from sarcnet.evaluation.metrics.brier import weighted_brier
from sarcnet.evaluation.predictions import EvaluationSet

PENALTY = 0.01  # keeps a coefficient finite where few patients are censored
LOWEST = 0.02  # a probability below this would let one patient count for more than fifty


def censoring_table(
    evaluation_sets: Sequence[EvaluationSet], *, model: str, horizon_months: float, log: FailureLog
) -> pd.DataFrame:
    """AUC and Brier score of `model` in each series under both assumptions about censoring.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        model: name of the model whose mean risk over the repeats is judged.
        horizon_months: horizon of the outcome, in months.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        Two rows per series: patients lost at random within each hospital, and loss that depends on age, grade and the
        predicted risk. Columns AUC, Brier score, sum of weights / n. A series without either has no row, and `log`
        keeps the reason.
    """
    rows = {}
    for series in (item for item in evaluation_sets if model in item.risks and len(item)):
        patients = series.with_risk(model)
        risk, at = patients["risk"].to_numpy(float), series.followup
        covariates = patients[["age_years", "fnclcc_grade", "risk"]].astype(float)
        simple = log(
            f"{series.name}, weights by hospital", _scores_by_hospital, risk, at, horizon_months=horizon_months
        )
        modelled = log(
            f"{series.name}, weights by covariates",
            censoring_sensitivity,
            risk,
            at,
            covariates,
            horizon_months=horizon_months,
        )
        if simple and modelled:
            rows[series.name, "hospital"] = simple
            rows[series.name, "hospital, age, grade and predicted risk"] = modelled
    index = pd.MultiIndex.from_tuples(rows, names=["series", "censoring may depend on"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["AUC", "Brier score", "sum of weights / n"])


def _scores_by_hospital(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> dict[str, float]:
    check(followup, horizon_months=horizon_months)
    case, control = weights(followup, horizon_months=horizon_months)
    return _scores(risk, case, control)


def covariate_weights(
    followup: Followup, covariates: pd.DataFrame, *, horizon_months: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights as cases and as controls, (1, n) each, when censoring depends on hospital and covariates.

    Args:
        followup: of the n patients that are judged.
        covariates: (n, q) numbers; missing values are set to the median, columns without variation are left out.
        horizon_months: horizon of the AUC or Brier score.

    Raises:
        SarcnetError: nobody is censored, or the model of censoring cannot be fitted.
    """
    censored = followup.event == CENSORED
    if not censored.any():
        raise SarcnetError("Nobody is censored, so that there is no censoring to model.")
    numbers = covariates.reset_index(drop=True).astype(float)
    numbers = numbers.fillna(numbers.median()).loc[:, lambda table: table.nunique() > 1]
    numbers = (numbers - numbers.mean()) / numbers.std()
    table = numbers.assign(months=followup.months, lost=censored.astype(int), centre=followup.centre)
    # Cox needs times above zero; who leaves at month 0 leaves first in either case.
    table["months"] = table["months"].clip(lower=1e-6)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CoxPHFitter(penalizer=PENALTY).fit(table, "months", "lost", strata=["centre"])
    except (ConvergenceError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SarcnetError(f"Censoring cannot be modelled from {', '.join(covariates)}: {reason}") from None
    before, horizon = np.ones(len(table)), np.ones(len(table))
    for centre in np.unique(followup.centre):
        own = np.flatnonzero(followup.centre == centre)
        times = np.unique(np.append(table["months"].to_numpy()[own], horizon_months))
        free = model.predict_survival_function(table.iloc[own], times=times).to_numpy()  # (times, own)
        free = np.vstack([np.ones((1, len(own))), free])  # row k: G just before times[k]
        before[own] = free[np.searchsorted(times, table["months"].to_numpy()[own]), np.arange(len(own))]
        horizon[own] = free[np.searchsorted(times, horizon_months), np.arange(len(own))]
    before, horizon = np.maximum(before, LOWEST), np.maximum(horizon, LOWEST)
    judged = followup.is_judged(horizon_months)
    weight = judged / np.where(followup.is_free(horizon_months), horizon, before)
    return (weight * followup.is_case(horizon_months))[None], (weight * followup.is_control(horizon_months))[None]


def censoring_sensitivity(
    risk: np.ndarray, followup: Followup, covariates: pd.DataFrame, *, horizon_months: float
) -> dict[str, float]:
    """AUC and Brier score at the horizon with weights from a Cox model of censoring, and their sum relative to n.

    Args:
        risk: (n,) predicted risks; without a Brier score (NaN) where they are not probabilities.

    Raises:
        SarcnetError: no AUC exists at the horizon, or censoring cannot be modelled.
    """
    check(followup, horizon_months=horizon_months)
    case, control = covariate_weights(followup, covariates, horizon_months=horizon_months)
    return _scores(risk, case, control)


def _scores(risk: np.ndarray, case: np.ndarray, control: np.ndarray) -> dict[str, float]:
    """AUC, Brier score (relative to the sum of the weights) and that sum relative to n, for weights (1, n)."""
    probability = bool((risk >= 0).all() and (risk <= 1).all())
    total = float(case.sum() + control.sum())
    score = float(weighted_brier(risk, case=case, control=control)[0]) if probability else float("nan")
    return {
        "AUC": float(weighted_auc(risk, case=case, control=control)[0]),
        "Brier score": score,
        "sum of weights / n": total / len(risk),
    }
