"""Tables of results: every model with its interval, every difference, and the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled
from sarcnet.model.names.words import in_order, label

# Abstract of the study, Scientific Reports, 21 October 2025: cross-validated AUC, 5-year metastasis-free survival.
PAPER = {
    "sarcnet_fedavg": Estimate(0.797, 0.762, 0.833),
    "sarculator_variables": Estimate(0.778, 0.743, 0.814),
    "fnclcc_grade": Estimate(0.706, 0.670, 0.743),
}
PAPER_NOTE = (
    "Paper: cross-validated AUC for 5-year metastasis-free survival of 611 real patients, as given in the abstract, which says "
    "neither whether death counts as an event nor which of the Sarculator's two nomograms was used; our comparator is a Cox "
    "model refitted on the variables of the Sarculator's metastasis nomogram: size, grade and histotype."
)
FEDERATED, POOLED, CLINICAL_COMPARATOR = "sarcnet_fedavg", "sarcnet_pooled", "sarculator_variables"
PRIMARY = (FEDERATED, CLINICAL_COMPARATOR)  # docs/statistical-analysis-plan.md
SECOND = (FEDERATED, POOLED)

EXPLORATORY_P = "P (exploratory unless marked)"
AUC_COLUMNS = [
    "series", "n", "events", "model", "label", "auc", "low", "high", "note", "fold_mean", "paper",
]  # fmt: skip
NO_DIFFERENCES = pd.DataFrame(columns=["model", "other", "difference", "low", "high", "p", "p_floor", "role"])


def role(model: str, other: str) -> str:
    """What a cross-validated comparison is for, as the statistical analysis plan names it."""
    return {PRIMARY: "primary", SECOND: "second, for non-inferiority"}.get((model, other), "exploratory")


def auc_table(
    results: Mapping[str, Resampled],
    *,
    sizes: Mapping[str, int],
    fold_means: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """One row for each series and model, with the columns of AUC_COLUMNS.

    `low` and `high` are NaN where there is no interval, and `note` says why; `paper` is text, for the cross-validation only;
    `fold_mean` is NaN where there are no folds.
    """
    rows = []
    for name, resampled in results.items():
        for model in in_order(list(resampled.point)):
            estimate = resampled.estimate(model)
            paper = PAPER.get(model) if name == "cross-validation" else None
            rows.append(
                {
                    "series": name,
                    "n": sizes[name],
                    "events": resampled.cases,
                    "model": model,
                    "label": label(model),
                    "auc": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "note": estimate.note,
                    "fold_mean": (fold_means or {}).get(name, {}).get(model, float("nan")),
                    "paper": str(paper) if paper else "",
                }
            )
    return pd.DataFrame(rows, columns=AUC_COLUMNS)


def difference_table(resampled: Resampled, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row for each pair of models that both exist: model, other, difference in AUC, low, high, p, p_floor, role.

    `p_floor` is the smallest P that so many resamples can give.
    """
    rows = []
    for model, other in pairs:
        if model in resampled.point and other in resampled.point:
            gap = resampled.difference(model, other)
            numbers = (gap.value, gap.low, gap.high, gap.p, gap.p_floor)
            rows.append((label(model), label(other), *numbers, role(model, other)))
    return pd.DataFrame(rows, columns=NO_DIFFERENCES.columns)


def headings(table: pd.DataFrame) -> dict[str, str]:
    """Name of each series of an AUC table with its numbers of patients and of events by the horizon."""
    first = table.groupby("series", sort=False)[["n", "events"]].first()
    return {str(row.Index): f"{row.Index}, n = {row.n}, {row.events} events" for row in first.itertuples()}


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """An AUC table as people read it: one row for each model, one column for each series, the paper's numbers last.

    Cross-validated AUCs are followed by their means over the folds.

    Args:
        table: AUC table of a comparison.

    Returns:
        One row per model, all cells text.
    """
    if table.empty:
        return pd.DataFrame()
    texts = [str(Estimate(row.auc, row.low, row.high, note=row.note)) for row in table.itertuples()]
    columns = []
    for name, heading in headings(table).items():
        own = table.assign(text=texts)[table["series"] == name].set_index("model")
        columns.append(own["text"].rename(heading))
        if own["fold_mean"].notna().any():
            columns.append(own["fold_mean"].map("{:.3f}".format).rename("mean over folds"))
    paper = table.groupby("model")["paper"].agg("".join).rename("paper (real patients), cross-validation")
    wide = pd.concat([*columns, *([paper] if paper.any() else [])], axis=1)
    wide = wide.reindex(in_order(list(wide.index)))
    return wide.rename(index=label).rename_axis(index="AUC at 5 years", columns=None).fillna("")


ROWS = {
    "ablation": (
        "sarcnet_pooled",
        "image_only",
        "clinical_only",
        "cox_clinical",
        "sarculator_variables_age",
        "sarculator_variables",
        "fnclcc_grade",
    ),
    "local_pooled_federated": ("sarcnet_fedavg", "sarcnet_pooled", "local_"),
}


def only(wide: pd.DataFrame, rows: str) -> pd.DataFrame:
    """Some rows of a readable table: those of the ablation, or of hospitals alone, pooled and federated.

    Args:
        wide: a table of :func:`readable`.
        rows: "ablation" or "local_pooled_federated".

    Returns:
        The rows.
    """
    names = {label(model) for model in ROWS[rows]}
    local = [row for row in wide.index if str(row).startswith("SarcNet, ") and str(row).endswith(" alone")]
    return wide[[row in names or ("local_" in ROWS[rows] and row in local) for row in wide.index]]


def with_p(wide: pd.DataFrame, resampled: Resampled, *, primary_model: str) -> pd.DataFrame:
    """A readable table with the difference of each model from this model, and its P, exploratory but for the primary one.

    Args:
        wide: a table of :func:`readable`.
        resampled: resampled AUCs of one series.
        primary_model: name of the model that all others are compared with.

    Returns:
        The table with two more columns.
    """
    found: dict[str, tuple[str, str]] = {}
    for model in resampled.point:
        if model != primary_model and primary_model in resampled.point:
            gap = resampled.difference(primary_model, model)
            p = "" if gap.note else gap.p_text.removeprefix("= ")
            named = " (primary)" if p and role(primary_model, model) == "primary" else ""
            found[label(model)] = (gap.signed, f"{p}{named}")
    extra = pd.DataFrame.from_dict(found, orient="index", columns=[f"{label(primary_model)} minus this", EXPLORATORY_P])
    return wide.join(extra).fillna("")


def threshold_text(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers at thresholds as people read them: one row a threshold, one column a measure, value (interval).

    Args:
        table: from :func:`sarcnet.evaluation.clinical_value.thresholds_of`.

    Returns:
        One row per threshold, all cells text.
    """
    if table.empty:
        return pd.DataFrame()
    texts = [Estimate(r.value, r.low, r.high, note=r.note).text(".2f") for r in table.itertuples()]
    text = table.assign(text=texts)
    wide = text.pivot(index="threshold", columns="measure", values="text")
    return wide.reindex(columns=list(dict.fromkeys(table["measure"]))).rename_axis(columns=None)
