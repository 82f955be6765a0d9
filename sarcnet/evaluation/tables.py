"""Tables of results: every model with its interval, every difference, and the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sarcnet.evaluation.bootstrap import Estimate, Resampled

LABELS = {
    "sarcnet_fedavg": "SarcNet, federated (FedAvg)",
    "sarcnet_pooled": "SarcNet, pooled",
    "image_only": "image only, pooled",
    "clinical_only": "clinical only, pooled",
    "local_CLB": "SarcNet, CLB alone",
    "local_IB": "SarcNet, IB alone",
    "sarculator_variables": "Cox on the Sarculator's variables",
    "fnclcc_grade": "FNCLCC grade",
    "oracle": "oracle (true risk)",
}
# Abstract of the study, Scientific Reports, 21 October 2025: cross-validated AUC, 5-year metastasis-free survival.
PAPER = {
    "sarcnet_fedavg": Estimate(0.797, 0.762, 0.833),
    "sarculator_variables": Estimate(0.778, 0.743, 0.814),
    "fnclcc_grade": Estimate(0.706, 0.670, 0.743),
}
PAPER_NOTE = (
    "Paper: cross-validated AUC on 611 real patients, as given in the abstract; its Sarculator is the published "
    "nomogram, ours is a Cox model refitted on the same four variables."
)


def label(model: str) -> str:
    """What a figure or table calls a model."""
    return LABELS.get(model, f"SarcNet, {model.removeprefix('local_')} alone" if model.startswith("local_") else model)


def in_order(models: Sequence[str]) -> list[str]:
    """Models as tables list them: ours first, then ablations, hospitals alone, comparators, oracle."""
    ranks = list(LABELS)
    return sorted(models, key=lambda model: (ranks.index(model) if model in ranks else 5.5, model))


def auc_table(results: dict[str, Resampled], *, sizes: dict[str, int]) -> pd.DataFrame:
    """One row a series and model: series, n, model, label, auc, low, high, paper (text, cross-validation only)."""
    rows = []
    for name, resampled in results.items():
        for model in in_order(list(resampled.point)):
            estimate = resampled.estimate(model)
            paper = PAPER.get(model) if name == "cross-validation" else None
            rows.append(
                {
                    "series": name,
                    "n": sizes[name],
                    "model": model,
                    "label": label(model),
                    "auc": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "paper": str(paper) if paper else "",
                }
            )
    return pd.DataFrame(rows)


def difference_table(resampled: Resampled, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row a pair of models that both exist: model, other, difference in AUC, low, high, p."""
    rows = []
    for model, other in pairs:
        if model in resampled.point and other in resampled.point:
            gap = resampled.difference(model, other)
            rows.append(
                {
                    "model": label(model),
                    "other": label(other),
                    "difference": gap.value,
                    "low": gap.low,
                    "high": gap.high,
                    "p": gap.p,
                }
            )
    return pd.DataFrame(rows)


def non_inferiority(gap: Estimate, *, margin: float, model: str, other: str) -> str:
    """What the interval of a difference says about a margin that was set beforehand."""
    found = f"{label(model)} minus {label(other)}: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    if gap.low > -margin:
        return (
            f"{found}. The interval stays above −{margin:g}: a loss of {margin:g} or more is ruled out at this level."
        )
    return f"{found}. The interval reaches below −{margin:g}, so these patients cannot rule out a loss of that size."


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """An AUC table as people read it: one row a model, one column a series, and the paper's numbers last."""
    text = table.assign(text=[f"{r.auc:.3f} ({r.low:.3f} to {r.high:.3f})" for r in table.itertuples()])
    heads = {name: f"{name}, n = {n}" for name, n in table.groupby("series", sort=False)["n"].first().items()}
    wide = text.pivot(index="model", columns="series", values="text").reindex(columns=list(heads)).rename(columns=heads)
    paper = text.groupby("model")["paper"].agg("".join).rename("paper (real patients), cross-validation")
    if paper.any():
        wide = wide.join(paper)
    wide = wide.reindex(in_order(list(wide.index)))
    return wide.rename(index=label).rename_axis(index="AUC at 5 years", columns=None).fillna("")
