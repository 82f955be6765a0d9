"""Groups of patients by predicted risk: the cut-off, how the groups fare, who moves between them, what became of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.outcome import Followup
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.kaplan_meier import Curves, curves, grouped
from sarcnet.evaluation.metrics.reclassification import Moves, moves
from sarcnet.evaluation.predictions import EvaluationSet

FREE, LOST = "free at the horizon", "lost before"


def cut_off(training_risk: pd.Series, *, high_risk_share: float) -> float:
    """Risk above which that share of the training patients lies: fitted on training patients and kept.

    Args:
        training_risk: out-of-fold risks of the training patients.
        high_risk_share: share of the training patients to be called high risk.

    Returns:
        The risk.
    """
    return float(training_risk.quantile(1 - high_risk_share))


def survival_of(
    evaluation_sets: Sequence[EvaluationSet],
    *,
    model: str,
    cut: float,
    months_shown: list[float],
    tested: Sequence[str],
    endpoint: Endpoint,
    log: FailureLog,
) -> dict[str, Curves]:
    """Kaplan–Meier and Aalen–Johansen curves of the two risk groups of `model` in each series.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        model: name of the model by whose mean risk over the repeats the patients are split.
        cut: predicted risk from which a patient is called high risk.
        months_shown: months for which the numbers at risk are counted.
        endpoint: what counts as the event, and its words.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.
        tested: names of the series in which the groups are compared by tests: those from which no risk was learnt.
            Cross-validated risks of different patients depend on each other's outcomes, and the tests would reject too often.

    Returns:
        Curves by name of the series.
    """
    return {
        series.name: curves(
            grouped(series.with_risk(model), cut=cut),
            months_shown=months_shown,
            tests=series.name in tested,
            endpoint=endpoint,
            log=log,
        )
        for series in evaluation_sets
        if model in series.risks and len(series)
    }


def moves_of(
    series: EvaluationSet,
    model: str,
    others: Mapping[str, float],
    *,
    cut: float,
    horizon_months: float,
    level: float,
    log: FailureLog,
) -> dict[str, Moves]:
    """Who changes group when `model` with its cut-off replaces each other score with its own; by other model.

    Args:
        series: the patients with the risks of every model.
        model: name of the model that replaces the other scores.
        others: for each other score the value from which it calls a patient high risk.
        cut: predicted risk from which a patient is called high risk.
        horizon_months: horizon of the outcome, in months.
        level: coverage of the intervals, for example 0.95.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        Moves by other model; models without risks or moves are left out.
    """
    found = {}
    new = series.with_risk(model)["risk"].to_numpy(float) >= cut
    for other, edge in others.items():
        if other in series.risks:
            old = series.with_risk(other)["risk"].to_numpy(float) >= edge
            what = f"{series.name}, moves"
            made = log(what, moves, old, new, series.followup, horizon_months=horizon_months, level=level)
            if made is not None:
                found[other] = made
    return found


def fates(patients: pd.DataFrame, *, horizon_months: float, endpoint: Endpoint) -> pd.Series:
    """What became of each patient by the horizon, as the constants of this module and the endpoint names it.

    Args:
        patients: with mfs_months, mfs_event and centre.
        horizon_months: horizon of the outcome, in months.
        endpoint: what counts as the event, and its words.

    Returns:
        (n,) words.
    """
    seen = Followup.of(patients)
    kinds = [kind(horizon_months) for kind in (seen.is_case, seen.is_free, seen.is_lost)]
    found = np.select(kinds, [endpoint.event, FREE, LOST], endpoint.competing)
    return pd.Series(found, index=patients.index)
