"""The comparisons named in docs/statistical-analysis-plan.md before any outcome was seen, and what they showed.

There is one primary comparison: the federated multimodal model minus the clinical comparator, cross-validated. Only when it
shows the federated model to be better is the second one confirmatory (fixed sequence, so that no level is divided): is the
federated model non-inferior to the pooled one? All other comparisons are exploratory.

The margin of non-inferiority is at most half of what the model gains over the clinical comparator, so that a federated model
within it keeps half of the gain at least. The abstract of the study (Scientific Reports, 21 October 2025) gives 0.797 for
SarcNet and 0.778 for the Sarculator: half of 0.019 is 0.0095.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled
from sarcnet.evaluation.tables.text import CLINICAL_COMPARATOR, FEDERATED, POOLED, PRIMARY, SECOND
from sarcnet.model.names.words import label

CROSS_VALIDATION = "cross-validation"


def primary_sentence(crossed: Resampled | None) -> str:
    """Result of the primary comparison, or why there is none."""
    absent = [label(model) for model in PRIMARY if crossed is None or model not in crossed.point]
    if crossed is None or absent:
        return (
            f"**Primary comparison.** It cannot be made, because this run has no cross-validated AUC of "
            f"{' and '.join(absent)}. All comparisons are exploratory."
        )
    gap = crossed.difference(*PRIMARY)
    none = "no conclusion can be drawn" if gap.note else "the interval includes 0, so a difference is not shown"
    better, worse = (f"{label(FEDERATED)} discriminates {how}" for how in ("better", "worse"))
    conclusion = gap.where(0, above=better, below=worse, neither=none)
    p = "" if gap.note else f", P {gap.p_text}"
    return f"**Primary comparison** ({CROSS_VALIDATION}). {_names(*PRIMARY)}: {gap.signed}{p}; {conclusion}."


def margin_sentence(crossed: Resampled | None, *, margin: float) -> str:
    """Whether the margin is at most half of the gain over the clinical comparator that was observed."""
    if crossed is None or not {POOLED, CLINICAL_COMPARATOR} <= set(crossed.point):
        return f"Whether the margin of {margin:g} is at most half of the gain over the clinical comparator is not known here."
    gain = crossed.point[POOLED] - crossed.point[CLINICAL_COMPARATOR]
    found = f"{_names(POOLED, CLINICAL_COMPARATOR)} is {gain:+.3f}"
    if gain <= 0:
        return f"{found}: there is no gain here of which a margin could keep half, so non-inferiority has no meaning."
    if margin > gain / 2:
        return (
            f"{found}: the margin of {margin:g} exceeds half of this gain ({gain / 2:.4f}), so a model within the margin may "
            "have lost more than half of it."
        )
    return f"{found}: the margin of {margin:g} is no more than half of this gain ({gain / 2:.4f})."


def non_inferiority(gap: Estimate, *, margin: float) -> str:
    """What the interval of federated minus pooled says about the margin."""
    if gap.note:
        return "non-inferiority cannot be judged"
    if gap.high < -margin:
        return f"inferior: the interval lies below −{margin:g}"
    worse = ", and the interval lies below 0: it is worse" if gap.high < 0 else ""
    if gap.low > -margin:
        return f"non-inferior: the interval lies above −{margin:g}{worse}"
    return f"not shown to be non-inferior: a loss of more than {margin:g} cannot be ruled out{worse}"


def non_inferiority_sentences(
    results: Mapping[str, Resampled], sizes: Mapping[str, int], *, margin: float, hospitals: int
) -> list[str]:
    """The verdict on federated against pooled in every series, whatever it is, or why there is none.

    Args:
        results: by name of the series.
        sizes: patients of each series.
        margin: AUC that the federated model may lose.
        hospitals: number of hospitals that trained.
    """
    if hospitals < 2:
        return ["**Non-inferiority.** There is one hospital, so there is no federated model, and it is not judged."]
    crossed = results.get(CROSS_VALIDATION)
    primary = crossed is not None and set(PRIMARY) <= set(crossed.point) and crossed.difference(*PRIMARY).low > 0
    sentences = []
    for series in sizes:
        found = results.get(series)
        if found is None or not {FEDERATED, POOLED} <= set(found.point):
            sentences.append(
                f"**Non-inferiority** ({series}). It cannot be judged: one of the two AUCs does not exist."
            )
            continue
        gap = found.difference(FEDERATED, POOLED)
        weight = "second in the hierarchy" if series == CROSS_VALIDATION else "supporting"
        if series == CROSS_VALIDATION and not primary:
            weight = "exploratory, since the primary comparison did not show the federated model to be better"
        sentences.append(
            f"**Non-inferiority** ({series}, n = {sizes[series]}; {weight}). {_names(FEDERATED, POOLED)}: {gap.signed}; "
            f"{non_inferiority(gap, margin=margin)}."
        )
    return sentences


def statements(
    results: Mapping[str, Resampled], sizes: Mapping[str, int], *, margin: float, hospitals: int
) -> list[str]:
    """Primary comparison, non-inferiority in each series, and whether the margin keeps to its rule."""
    crossed = results.get(CROSS_VALIDATION)
    judged = non_inferiority_sentences(results, sizes, margin=margin, hospitals=hospitals)
    rule = [margin_sentence(crossed, margin=margin)] if hospitals > 1 else []
    return [primary_sentence(crossed), *judged, *rule]


def planned_differences(results: Mapping[str, Resampled], sizes: Mapping[str, int]) -> list[tuple[str, Estimate, int]]:
    """Name in the record, difference in AUC and number of patients of both planned comparisons in each series."""
    return [
        (f"difference_{series}_{model}_minus_{other}", found.difference(model, other), sizes[series])
        for series, found in results.items()
        for model, other in (PRIMARY, SECOND)
        if {model, other} <= set(found.point)
    ]


def _names(model: str, other: str) -> str:
    return f"{label(model)} minus {label(other)}"


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
