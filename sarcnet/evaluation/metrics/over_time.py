"""All single numbers of discrimination and accuracy side by side, and how the AUC changes with the horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sarcnet.evaluation.comparators.cox import FNCLCC
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import Followup, auc, check, check_probability, effective_number, naive_auc, weights
from sarcnet.evaluation.metrics.bootstrap import Resampled, resample_auc
from sarcnet.evaluation.metrics.brier import brier_and_null, integrated, weighted_brier
from sarcnet.evaluation.metrics.concordance import concordance, resampled_concordance
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.model.names.words import in_order, label


def weight_table(series: Mapping[str, Followup], *, horizon_months: float) -> pd.DataFrame:
    """What the weights of each series rest on, one row a series.

    Columns: patients; judged (in centres followed to the horizon); cases, controls and lost among these, as counted;
    effective cases and controls (:func:`effective_number`); the sum of all weights as a share of those judged.

    Args:
        series: follow-up by name of the series.
        horizon_months: horizon of the outcome, in months.

    Returns:
        One row per series.
    """
    rows = {}
    for name, followup in series.items():
        case, control = weights(followup, horizon_months=horizon_months)
        judged = followup.select(followup.is_judged(horizon_months))
        rows[name] = {
            "patients": len(followup),
            "judged": len(judged),
            "cases": int(judged.is_case(horizon_months).sum()),
            "controls": int(judged.is_control(horizon_months).sum()),
            "lost": int(judged.is_lost(horizon_months).sum()),
            "effective cases": round(float(effective_number(case)[0]), 1),
            "effective controls": round(float(effective_number(control)[0]), 1),
            "sum of weights": round(float((case + control).sum()) / len(judged), 3) if len(judged) else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def metrics_table(series: EvaluationSet, *, horizon_months: float, log: FailureLog) -> pd.DataFrame:
    """One row a model: AUC weighted and naive, and Harrell's C.

    Each is the mean over the repeats. Uno's C and Brier score stand, with intervals, in :func:`accuracy_intervals`.

    Args:
        series: the patients with the risks of every model.
        horizon_months: horizon of the outcome, in months.
        log: gets a sentence for each number that does not exist.

    Returns:
        One row per model.
    """
    at, t = series.followup, horizon_months
    rows = {}
    for model in in_order(list(series.risks)):
        risks = series.risks[model].T
        ways = {
            "AUC": lambda r: auc(r, at, horizon_months=t),
            "naive AUC": lambda r: naive_auc(r, at, horizon_months=t),
            "Harrell's C": lambda r: concordance(r, at, upto_months=t, weighted=False),
        }
        found = {name: [log(f"{series.name}, {name}", way, r) for r in risks] for name, way in ways.items()}
        rows[label(model)] = {
            name: float(np.mean([v for v in values if v is not None])) if None not in values else np.nan
            for name, values in found.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis(index=series.name)


def accuracy_intervals(series: EvaluationSet, *, horizon_months: float, resampling: Resampling) -> pd.DataFrame:
    """Uno's C, Brier score and index of prediction accuracy of every model with bootstrap intervals (BCa).

    Patients are resampled within hospitals; weights for censoring are estimated again in each resample, but for Uno's C
    once. The grade is no probability and has a C only.

    Args:
        series: the patients with the risks of every model.
        horizon_months: horizon of the outcome, in months.
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        One row per model, columns "Uno's C", "Brier score", "prediction accuracy": text, value with interval.
    """
    at = series.followup
    drawn = resampling.counts("accuracy", series)
    each_left_out = np.ones((len(at), len(at))) - np.eye(len(at))
    rows = {}
    for model in in_order(list(series.risks)):
        ways = {"Uno's C": _uno} | (
            {} if model == FNCLCC else {"Brier score": _brier, "prediction accuracy": _accuracy}
        )
        found = {}
        for name, way in ways.items():
            sets = [
                resampling.log(
                    f"{series.name}, {name}", way, series.risks[model], at, counts=c, horizon_months=horizon_months
                )
                for c in (np.ones((1, len(at))), drawn, each_left_out)
            ]
            made = [values for values in sets if values is not None]
            if len(made) == len(sets):
                point, draws, without = made
                sizes = int(at.is_case(horizon_months).sum()), int(at.is_control(horizon_months).sum())
                spread = Resampled(
                    {name: float(point[0])}, {name: draws}, resampling.level, {name: without}, at.centre, *sizes
                )
                found[name] = str(spread.estimate(name))
        rows[label(model)] = found
    return pd.DataFrame.from_dict(rows, orient="index").fillna("").rename_axis(index=series.name)


def _uno(risks: np.ndarray, at: Followup, *, counts: np.ndarray, horizon_months: float) -> np.ndarray:
    return resampled_concordance(risks, at, counts=counts, upto_months=horizon_months, weighted=True)


def _brier(risks: np.ndarray, at: Followup, *, counts: np.ndarray, horizon_months: float) -> np.ndarray:
    check(at, horizon_months=horizon_months)
    case, control = weights(at, horizon_months=horizon_months, counts=counts)
    return np.mean([weighted_brier(check_probability(r), case=case, control=control) for r in risks.T], axis=0)


def _accuracy(risks: np.ndarray, at: Followup, *, counts: np.ndarray, horizon_months: float) -> np.ndarray:
    case, control = weights(at, horizon_months=horizon_months, counts=counts)
    size = case.sum(axis=1) + control.sum(axis=1)
    share = case.sum(axis=1) / np.where(size > 0, size, np.nan)
    null = np.where((share > 0) & (share < 1), share * (1 - share), np.nan)  # Brier score of the share for everybody
    return 1 - _brier(risks, at, counts=counts, horizon_months=horizon_months) / null


def auc_in_time(
    series: EvaluationSet,
    models: Sequence[str],
    *,
    months: Sequence[float],
    resampling: Resampling,
) -> pd.DataFrame:
    """AUC of each model at each horizon with its pointwise interval: model, months, auc, low, high, events (so far).

    The risk is the same throughout: that of the study's horizon. Horizons at which no AUC exists are left out, with a
    sentence in the log.

    Args:
        series: the patients with the risks of every model.
        models: names of the models.
        months: horizons, in months.
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        One row per model and horizon.
    """
    rows = []
    for t in months:
        found = resampling.log(
            series.name,
            resample_auc,
            {model: series.risks[model] for model in models if model in series.risks},
            series.followup,
            horizon_months=t,
            samples=resampling.samples,
            level=resampling.level,
            rng=resampling.rng("auc in time", series.name, f"{t:g}"),
        )
        if found is not None:
            early = int(series.followup.is_case(t).sum())
            estimates = {model: found.estimate(model) for model in found.point}
            rows += [(model, t, e.value, e.low, e.high, early) for model, e in estimates.items()]
    return pd.DataFrame(rows, columns=["model", "months", "auc", "low", "high", "events"])


def brier_table(series: EvaluationSet, risks: pd.DataFrame, *, models: Sequence[str], log: FailureLog) -> pd.DataFrame:
    """Brier score of each model in time and integrated, for patients none of whom was learnt from.

    Args:
        series: the patients.
        risks: each model's own risks by each month: patient_id, model, months, risk.
        models: those to be judged; models without risks in time are left out.
        log: gets a sentence for each month at which there is no score.

    Returns:
        model, months, brier, same (the same risk for everybody), integrated, integrated_same.
    """
    frames = []
    for model in models:
        wide = risks[risks["model"] == model].pivot(index="patient_id", columns="months", values="risk")
        rows = []
        for month, risk in wide.reindex(series.patients["patient_id"]).items():
            what = f"{series.name}, Brier score at {month:g} months"
            found = log(what, brier_and_null, risk.to_numpy(float), series.followup, horizon_months=float(month))
            rows += [(float(month), *found)] if found is not None else []
        if rows:
            scores = pd.DataFrame(rows, columns=["months", "brier", "same"]).assign(model=model)
            whole = {
                name: integrated(scores["months"].to_numpy(), scores[name].to_numpy()) for name in ("brier", "same")
            }
            frames.append(scores.assign(integrated=whole["brier"], integrated_same=whole["same"]))
    columns = ["model", "months", "brier", "same", "integrated", "integrated_same"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
