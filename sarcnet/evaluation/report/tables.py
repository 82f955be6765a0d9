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
NO_DIFFERENCES = pd.DataFrame(columns=["model", "other", "difference", "low", "high", "p", "role"])


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
    """One row for each pair of models that both exist: model, other, difference in AUC, low, high, p, role."""
    rows = []
    for model, other in pairs:
        if model in resampled.point and other in resampled.point:
            gap = resampled.difference(model, other)
            numbers = (gap.value, gap.low, gap.high, gap.p)
            rows.append((label(model), label(other), *numbers, role(model, other)))
    return pd.DataFrame(rows, columns=NO_DIFFERENCES.columns)


def headings(table: pd.DataFrame) -> dict[str, str]:
    """Name of each series of an AUC table with its numbers of patients and of events by the horizon."""
    first = table.groupby("series", sort=False)[["n", "events"]].first()
    return {str(row.Index): f"{row.Index}, n = {row.n}, {row.events} events" for row in first.itertuples()}


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """An AUC table as people read it: one row for each model, one column for each series, the paper's numbers last.

    Cross-validated AUCs are followed by their means over the folds.
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


ABLATION = (
    "sarcnet_pooled",
    "image_only",
    "clinical_only",
    "cox_clinical",
    "sarculator_variables_age",
    "sarculator_variables",
    "fnclcc_grade",
)
SHARING = ("sarcnet_fedavg", "sarcnet_pooled", "local_")


def pairs(centres: Sequence[str]) -> list[tuple[str, str]]:
    """The comparisons that were decided on beforehand, each model with the other it is compared to."""
    return [
        ("sarcnet_fedavg", "fnclcc_grade"),
        ("sarcnet_fedavg", "sarculator_variables"),
        ("sarcnet_fedavg", "sarcnet_pooled"),
        ("sarcnet_pooled", "clinical_only"),
        ("sarcnet_pooled", "image_only"),
        ("sarculator_variables", "fnclcc_grade"),
        *[("sarcnet_fedavg", f"local_{name}") for name in centres],
        ("oracle", "sarcnet_fedavg"),
        ("oracle", "sarculator_variables"),
    ]


def only(wide: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The rows of a readable table that belong to some models; one that ends in _ stands for all that begin so."""
    names = {label(model) for model in models}
    stems = [model for model in models if model.endswith("_")]
    local = [row for row in wide.index if stems and str(row).startswith("SarcNet, ") and str(row).endswith(" alone")]
    return wide[[row in names or row in local for row in wide.index]]


def with_p(wide: pd.DataFrame, resampled: Resampled, *, primary_model: str) -> pd.DataFrame:
    """A readable table with the difference of each model from this model, and its P, exploratory but for the primary one."""
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
    """Numbers at thresholds as people read them: one row a threshold, one column a measure, value (interval)."""
    if table.empty:
        return pd.DataFrame()
    texts = [Estimate(r.value, r.low, r.high, note=r.note).text(".2f") for r in table.itertuples()]
    text = table.assign(text=texts)
    wide = text.pivot(index="threshold", columns="measure", values="text")
    return wide.reindex(columns=list(dict.fromkeys(table["measure"]))).rename_axis(columns=None)


def gains_readable(gains: pd.DataFrame) -> pd.DataFrame:
    """Differences in net benefit as people read them: one row per series and threshold, one column per comparison."""
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
    """For each series and comparison, at how many thresholds the interval of the gain lies above, below or around zero."""
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
