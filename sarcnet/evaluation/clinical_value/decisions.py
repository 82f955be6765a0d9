"""Would the predictions change a decision? Net benefit and accuracy at thresholds, for every series that allows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sarcnet.evaluation.comparators.cox import FNCLCC
from sarcnet.evaluation.metrics.bootstrap import Estimate
from sarcnet.evaluation.metrics.net_benefit import (
    THRESHOLD_COLUMNS,
    benefit_differences,
    decision_curve,
    threshold_table,
)
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.model.names.words import label

HIGH_GRADE = 3.0
CURVE_THRESHOLDS = tuple(float(p) for p in np.round(np.arange(0.05, 0.8, 0.025), 3))


def decisions_of(
    series: EvaluationSet,
    models: Sequence[str],
    *,
    horizon_months: float,
    resampling: Resampling,
) -> pd.DataFrame:
    """Decision curve of the models' mean risks, and of treating whoever has grade 3; empty where there is none.

    Args:
        series: the patients with the risks of every model.
        models: names of the models.
        horizon_months: horizon of the outcome, in months.
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        model, threshold, benefit, low, high.
    """
    found = resampling.log(
        f"{series.name}, decision curve",
        decision_curve,
        policies(series, models),
        series.followup,
        horizon_months=horizon_months,
        thresholds=CURVE_THRESHOLDS,
        counts=resampling.counts("decision", series),
        level=resampling.level,
    )
    return pd.DataFrame(columns=["model", "threshold", "benefit", "low", "high"]) if found is None else found


def policies(series: EvaluationSet, models: Sequence[str]) -> dict[str, np.ndarray]:
    """(n,) mean risks of the models that the series has; of the grade, 1 for grade 3 and 0 for the others."""
    risks = {model: series.with_risk(model)["risk"].to_numpy(float) for model in models if model in series.risks}
    if FNCLCC in series.risks:
        risks[FNCLCC] = (series.with_risk(FNCLCC)["risk"].to_numpy() >= HIGH_GRADE).astype(float)
    return risks


def benefit_gains_of(
    evaluation_sets: Sequence[EvaluationSet],
    model: str,
    others: Sequence[str],
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    resampling: Resampling,
) -> pd.DataFrame:
    """Net benefit of `model` minus that of each other policy, in each series.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        model: name of the model whose net benefit is compared with that of the others.
        others: names of the other models or policies.
        horizon_months: horizon of the outcome, in months.
        thresholds: predicted risks at which treatment might be offered, each in (0, 1).
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        series, threshold, model, other, difference, low, high, note; empty where nothing could be computed.
    """
    frames = []
    for series in (item for item in evaluation_sets if model in item.risks and len(item)):
        found = resampling.log(
            f"{series.name}, net benefit",
            benefit_differences,
            policies(series, [model, *others]),
            series.followup,
            pairs=[(model, other) for other in others],
            horizon_months=horizon_months,
            thresholds=thresholds,
            counts=resampling.counts("net benefit", series),
            level=resampling.level,
        )
        if found is not None:
            frames.append(found.assign(series=series.name))
    columns = ["series", "threshold", "model", "other", "difference", "low", "high", "note"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def thresholds_of(
    series: EvaluationSet,
    model: str,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    resampling: Resampling,
) -> pd.DataFrame:
    """Sensitivity, specificity, predictive values and net benefit of `model` at stated risks; empty where there are none.

    Args:
        series: the patients with the risks of every model.
        model: name of the model by whose risk treatment would be offered.
        horizon_months: horizon of the outcome, in months.
        thresholds: predicted risks at which treatment might be offered, each in (0, 1).
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        threshold, measure, value, low, high, note.
    """
    found = resampling.log(
        f"{series.name}, thresholds",
        threshold_table,
        series.with_risk(model)["risk"].to_numpy(float),
        series.followup,
        horizon_months=horizon_months,
        thresholds=thresholds,
        counts=resampling.counts("thresholds", series),
        level=resampling.level,
    )
    return pd.DataFrame(columns=THRESHOLD_COLUMNS) if found is None else found


def gains_readable(gains: pd.DataFrame) -> pd.DataFrame:
    """Differences in net benefit as people read them: one row per series and threshold, one column per comparison.

    Args:
        gains: from :func:`benefit_gains_of`.

    Returns:
        One row per series and threshold.
    """
    if gains.empty:
        return pd.DataFrame()
    text = gains.assign(
        gain=[Estimate(r.difference, r.low, r.high, note=r.note).signed for r in gains.itertuples()],
        comparison=[f"{label(r.model)} minus {policy_label(r.other)}" for r in gains.itertuples()],
    )
    wide = text.pivot(index=["series", "threshold"], columns="comparison", values="gain")
    return wide.reindex(columns=list(dict.fromkeys(text["comparison"]))).rename_axis(columns=None)


def policy_label(name: str) -> str:
    """What a decision table calls a policy: the grade stands for treating grade 3."""
    return "treating grade 3" if name == "fnclcc_grade" else label(name)


def gains_text(gains: pd.DataFrame, *, level: float) -> str:
    """For each series and comparison, at how many thresholds the interval of the gain lies above, below or around zero.

    Args:
        gains: from :func:`benefit_gains_of`.
        level: coverage of the intervals, for example 0.95.

    Returns:
        A Markdown list.
    """
    if gains.empty:
        return "No net benefit could be computed."
    lines = []
    for (series, other), rows in gains.groupby(["series", "other"], sort=False):
        above, below = rows[rows["low"] > 0], rows[rows["high"] < 0]
        found = [
            f"{word} at {', '.join(f'{t:.0%}' for t in part['threshold'])}"
            for word, part in (("higher", above), ("lower", below))
            if len(part)
        ]
        verdict = " and ".join(found) or "neither shown to be higher nor lower at any threshold"
        lines.append(
            f"- {series}: net benefit compared with {policy_label(str(other))} is {verdict} ({level:.0%} intervals)."
        )
    return "\n".join(lines)
