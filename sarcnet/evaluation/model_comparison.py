"""All series judged in one go; what cannot be computed is said, the rest is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import not_followed
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup, weighted_auc, weights
from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled, resample_auc
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.prespecified import (
    CROSS_VALIDATION,
    non_inferiority_sentences,
    pairs,
    planned_differences,
    statements,
)
from sarcnet.evaluation.tables.text import NO_DIFFERENCES, auc_table, difference_table


@dataclass(frozen=True)
class Comparison:
    """Resampled AUCs by series name, and a sentence for each series of which there is none."""

    results: dict[str, Resampled]
    sizes: dict[str, int]
    failures: list[str]
    fold_means: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """See :func:`sarcnet.evaluation.tables.text.auc_table`."""
        return auc_table(self.results, sizes=self.sizes, fold_means=self.fold_means)

    def difference_table(self, centres: Sequence[str]) -> pd.DataFrame:
        """The cross-validated comparisons decided on beforehand: model, other, difference in AUC, low, high, p, p_floor, role.

        See :func:`sarcnet.evaluation.tables.text.difference_table`.
        """
        crossed = self.results.get(CROSS_VALIDATION)
        return NO_DIFFERENCES if crossed is None else difference_table(crossed, pairs(centres))

    def statements(self, *, margin: float, hospitals: int) -> list[str]:
        """What the planned comparisons showed (:func:`sarcnet.evaluation.prespecified.statements`)."""
        return statements(self.results, self.sizes, margin=margin, hospitals=hospitals)

    def non_inferiority(self, *, margin: float, hospitals: int) -> list[str]:
        """Federated against pooled (:func:`sarcnet.evaluation.prespecified.non_inferiority_sentences`)."""
        return non_inferiority_sentences(self.results, self.sizes, margin=margin, hospitals=hospitals)

    @property
    def planned_differences(self) -> list[tuple[str, Estimate, int]]:
        """Name in the record, difference in AUC and number of patients of both planned comparisons in each series."""
        return planned_differences(self.results, self.sizes)

    @property
    def warnings(self) -> str:
        """The sentences on what could not be computed, or that all could."""
        return " ".join(self.failures) or "All of it could be computed."


def compare_models(
    evaluation_sets: Sequence[EvaluationSet],
    *,
    horizon_months: float,
    resampling: Resampling,
) -> Comparison:
    """Paired bootstrap of every model in each series.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        horizon_months: horizon of the outcome, in months.
        resampling: settings of the bootstrap; each series has a generator of its own.

    Returns:
        Resampled AUCs of every model in each series.
    """
    results, failures, fold_means = {}, list[str](), {}
    for series in evaluation_sets:
        failures += series.failures
        try:
            results[series.name] = resample_auc(
                series.risks,
                series.followup,
                horizon_months=horizon_months,
                samples=resampling.samples,
                level=resampling.level,
                rng=resampling.rng("bootstrap", series.name),
            )
        except SarcnetError as error:
            failures.append(f"{series.name}: {error}")
        else:
            left = not_followed(series.followup, horizon_months=horizon_months)
            failures += [f"{series.name}: {sentence}" for sentence in left]
            fold_means[series.name] = {
                model: fold_mean_auc(risk, series.folds, series.followup, horizon_months=horizon_months)
                for model, risk in series.risks.items()
                if series.folds is not None and risk.shape == series.folds.shape
            }
    sizes = {series.name: int(series.followup.is_judged(horizon_months).sum()) for series in evaluation_sets}
    return Comparison(results, sizes, failures, fold_means)


def fold_mean_auc(risks: np.ndarray, folds: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """Mean over folds and repeats of the AUC within each fold, which compares only patients judged by the same model.

    The AUC with the folds pooled also compares patients of different folds, whose models differ in level, and lies lower.

    Args:
        risks: (n, R) out of fold.
        folds: (n, R) fold of each patient in each repeat.

    Returns:
        The mean over the folds in which an AUC exists; NaN where it exists in none.
    """
    case, control = weights(followup, horizon_months=horizon_months)
    found = []
    for risk, fold in zip(risks.T, folds.T, strict=True):
        own = [fold == name for name in np.unique(fold)]
        found += [weighted_auc(risk[rows], case=case[:, rows], control=control[:, rows])[0] for rows in own]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def merge(first: Comparison, second: Comparison) -> Comparison:
    """Two judgements as one.

    Args:
        first: a comparison.
        second: another one, of other series.

    Returns:
        Both as one.
    """
    return Comparison(
        first.results | second.results,
        first.sizes | second.sizes,
        first.failures + second.failures,
        first.fold_means | second.fold_means,
    )
