"""The same AUCs by other means: other weights for the lost, a variance in closed form, only patients with an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import Followup
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import auc, naive_auc, weighted_auc, weights
from sarcnet.evaluation.metrics.delong import delong
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.prespecified import pairs
from sarcnet.model.names.words import label


def weightings(
    evaluation_sets: Sequence[EvaluationSet], *, model: str, horizon_months: float, training: Followup
) -> pd.DataFrame:
    """AUC of `model` in each series: the lost left out, or made up for by weights from the series or from `training`.

    The last two columns show how much depends on the weights. Those of another series need not fit: then they do not add
    up to the number of patients judged, and no result may rest on them.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        model: name of the model whose mean risk over the repeats is judged.
        horizon_months: horizon of the outcome, in months.
        training: follow-up of the training series.

    Returns:
        One row a series; NaN where no AUC exists.
    """
    rows: dict[str, dict[str, float]] = {}
    for series in evaluation_sets:
        risk, at, t = series.with_risk(model)["risk"].to_numpy(), series.followup, horizon_months
        try:
            case, control = weights(at, horizon_months=t, fitted=training)
            rows[series.name] = {
                "lost left out": naive_auc(risk, at, horizon_months=t),
                "weights of the series itself": auc(risk, at, horizon_months=t),
                "weights of the training series": float(weighted_auc(risk, case=case, control=control)[0]),
                "these add up to (share of n)": float((case + control).sum() / at.is_judged(t).sum()),
            }
        except SarcnetError:
            rows[series.name] = {}
    return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis(index="AUC at the horizon")


def delong_table(series: EvaluationSet, centres: Sequence[str], *, horizon_months: float, level: float) -> pd.DataFrame:
    """Differences between fixed models on one series: model, other, difference, low, high, P; only pairs that exist.

    Args:
        centres: names of the hospitals, for the comparisons with each alone.
        horizon_months: horizon of the outcome, in months.
        level: coverage of the intervals, for example 0.95.

    Returns:
        One row per pair.
    """
    rows = []
    for model, other in pairs(centres):
        if model in series.risks and other in series.risks:
            one, two = (series.risks[name].mean(axis=1) for name in (model, other))
            gap = delong(one, series.followup, horizon_months=horizon_months, level=level, other=two)
            rows.append((label(model), label(other), gap.value, gap.low, gap.high, gap.p))
    return pd.DataFrame(rows, columns=["model", "other", "difference", "low", "high", "P (exploratory)"])


def without_image(crossed: EvaluationSet, seen: np.ndarray, *, horizon_months: float) -> str:
    """How many patients of the row *image only* have no image, and its AUC among those who have one.

    Args:
        crossed: n patients with the risks of "image_only".
        seen: (n,) bool, who has features.
        horizon_months: horizon of the AUC.

    Returns:
        A sentence.

    Raises:
        SarcnetError: there is no such model, or no AUC for the patients with an image.
    """
    if seen.all():
        return f"All {len(seen)} patients have an image."
    if "image_only" not in crossed.risks:
        raise SarcnetError("no model that sees the image alone has a risk for every patient.")
    own = crossed.followup.select(np.flatnonzero(seen))
    found = np.mean([auc(risk[seen], own, horizon_months=horizon_months) for risk in crossed.risks["image_only"].T])
    return (
        f"{int((~seen).sum())} of {len(seen)} patients have no image: the model that sees the image alone gives each of "
        f"them the risk of the average patient. Its row counts them; among the {int(seen.sum())} others its AUC is {found:.3f}."
    )
