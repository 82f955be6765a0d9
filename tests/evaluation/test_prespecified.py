"""The planned comparisons are stated whatever they show, in every series, and as what they are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.readme import results_block
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled, resample_auc
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import Comparison, compare_models, fold_mean_auc
from sarcnet.evaluation.predictions import EvaluationSet, evaluation_set
from sarcnet.evaluation.prespecified import (
    margin_sentence,
    non_inferiority,
    non_inferiority_sentences,
    primary_sentence,
    statements,
)
from sarcnet.evaluation.tables import text as tables
from sarcnet.evaluation.tables.text import CLINICAL_COMPARATOR, FEDERATED, POOLED

HORIZON, MARGIN = 60.0, 0.0095


def made(fedavg: float, pooled: float, clinical: float, *, spread: float = 0.004, cases: int = 50) -> Resampled:
    """AUCs whose resamples scatter independently."""
    point = {FEDERATED: fedavg, POOLED: pooled, CLINICAL_COMPARATOR: clinical}
    noise = np.random.default_rng(0).normal(0, spread, (3, 2000))
    draws = {name: value + noise[k] for k, (name, value) in enumerate(point.items())}
    return Resampled(point, draws, 0.95, cases=cases, controls=50)


def stated(results: dict[str, Resampled], *, hospitals: int = 2, margin: float = MARGIN) -> str:
    sizes = {"cross-validation": 160, "validation": 56}
    return " ".join(statements(results, sizes, margin=margin, hospitals=hospitals))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (made(0.84, 0.84, 0.78), "SarcNet, federated (FedAvg) discriminates better."),
        (made(0.74, 0.84, 0.78), "SarcNet, federated (FedAvg) discriminates worse."),
        (made(0.781, 0.84, 0.78), "the interval includes 0, so a difference is not shown."),
        (
            made(0.84, 0.84, 0.78, cases=8),
            "(8 cases, 50 controls: too few for an interval); no conclusion can be drawn.",
        ),
        (None, "All comparisons are exploratory."),
    ],
)
def test_the_primary_comparison_is_stated_whatever_it_shows(found, sentence):
    assert sentence in primary_sentence(found)


def test_without_a_federated_model_there_is_no_primary_comparison():
    found = made(0.84, 0.84, 0.78)
    del found.point[FEDERATED]
    assert "no cross-validated AUC of SarcNet, federated (FedAvg)" in primary_sentence(found)


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        (Estimate(0.0, -0.005, 0.005), "non-inferior: the interval lies above −0.0095"),
        (
            Estimate(-0.005, -0.008, -0.002),
            "non-inferior: the interval lies above −0.0095, and the interval lies below 0",
        ),
        (Estimate(0.0, -0.03, 0.03), "not shown to be non-inferior: a loss of more than 0.0095 cannot be ruled out"),
        (Estimate(-0.036, -0.093, -0.007), "cannot be ruled out, and the interval lies below 0: it is worse"),
        (Estimate(-0.05, -0.08, -0.02), "inferior: the interval lies below −0.0095"),
        (Estimate(0.0, np.nan, np.nan, note="8 cases, 30 controls: too few"), "non-inferiority cannot be judged"),
    ],
)
def test_non_inferiority_reads_the_interval_in_every_direction(gap, verdict):
    assert verdict in non_inferiority(gap, margin=MARGIN)


def test_the_verdict_is_stated_for_both_series_also_where_it_is_unfavourable():
    said = stated({"cross-validation": made(0.86, 0.83, 0.78), "validation": made(0.80, 0.83, 0.78)})
    assert "(cross-validation, n = 160; second in the hierarchy)" in said
    assert "non-inferior: the interval lies above" in said
    assert "(validation, n = 56; supporting)" in said
    assert "inferior: the interval lies below −0.0095" in said


def test_a_series_without_the_models_says_that_it_is_not_judged():
    said = stated({"cross-validation": made(0.86, 0.83, 0.78)})
    assert "(validation). It cannot be judged" in said


def test_the_second_comparison_is_exploratory_when_the_first_was_not_won():
    said = stated({"cross-validation": made(0.781, 0.78, 0.78)})
    assert "exploratory, since the primary comparison did not show" in said
    assert "second in the hierarchy" not in said


def test_one_hospital_has_no_verdict_and_the_text_says_so():
    said = non_inferiority_sentences(
        {"cross-validation": made(0.86, 0.83, 0.78)}, {"cross-validation": 160}, margin=MARGIN, hospitals=1
    )
    assert said == ["**Non-inferiority.** There is one hospital, so there is no federated model, and it is not judged."]
    assert "margin" not in stated({"cross-validation": made(0.86, 0.83, 0.78)}, hospitals=1)


@pytest.mark.parametrize(
    ("pooled", "sentence"),
    [
        (0.83, "the margin of 0.0095 is no more than half of this gain (0.0250)"),
        (0.79, "the margin of 0.0095 exceeds half of this gain (0.0050)"),
        (0.77, "there is no gain here of which a margin could keep half"),
    ],
)
def test_the_margin_is_held_against_the_gain_that_was_observed(pooled, sentence):
    assert sentence in margin_sentence(made(0.8, pooled, 0.78), margin=MARGIN)


def test_the_margin_in_the_profile_is_half_of_the_published_gain():
    from sarcnet.compendium.study import Study

    gain = tables.PAPER[FEDERATED].value - tables.PAPER[CLINICAL_COMPARATOR].value
    assert Study.load("demo").values["noninferiority_margin_auc"] <= gain / 2 + 1e-9


def test_both_planned_differences_are_recorded_for_each_series():
    judged = Comparison({"cross-validation": made(0.86, 0.83, 0.78)}, {"cross-validation": 160}, [])
    names = [name for name, _, _ in judged.planned_differences]
    assert names == [
        f"difference_cross-validation_{FEDERATED}_minus_{CLINICAL_COMPARATOR}",
        f"difference_cross-validation_{FEDERATED}_minus_{POOLED}",
    ]


def test_only_the_primary_comparison_has_a_p_that_is_not_exploratory():
    found = made(0.84, 0.83, 0.78)
    pairs = [(FEDERATED, CLINICAL_COMPARATOR), (FEDERATED, POOLED), (POOLED, CLINICAL_COMPARATOR)]
    roles = tables.difference_table(found, pairs)["role"].tolist()
    assert roles == ["primary", "second, for non-inferiority", "exploratory"]
    table = tables.auc_table({"cross-validation": found}, sizes={"cross-validation": 160})
    shown = tables.with_p(tables.readable(table), found, primary_model=FEDERATED)
    marked = shown["P (exploratory unless marked)"].str.contains("primary")
    assert marked[tables.label(CLINICAL_COMPARATOR)]
    assert marked.sum() == 1


def test_the_front_page_shows_the_number_of_events_and_the_planned_comparisons():
    results = {"cross-validation": made(0.84, 0.83, 0.78), "validation": made(0.8, 0.83, 0.78, cases=8)}
    sizes = {"cross-validation": 160, "validation": 56}
    wide = tables.readable(tables.auc_table(results, sizes=sizes)).reset_index()
    claims = statements(results, sizes, margin=MARGIN, hospitals=2)
    kept = json.loads(
        json.dumps(
            {
                "heading": "AUC at 5 years",
                "columns": list(wide.columns),
                "rows": wide.to_numpy().tolist(),
                "statements": claims,
                "note": tables.PAPER_NOTE,
            }
        )
    )
    text = results_block({"data_kind": "simulated"}, kept)
    assert "cross-validation, n = 160, 50 events" in text
    assert "validation, n = 56, 8 events" in text
    assert "0.800 (8 cases, 50 controls: too few for an interval)" in text
    assert all(f"- {sentence}" in text for sentence in claims)
    assert "nan" not in text


def test_the_mean_over_folds_compares_patients_of_one_fold_only(cohort):
    risk, followup = cohort(200, seed=3)
    fold = np.arange(200) % 4
    shifted = (risk + 10.0 * (fold % 2))[:, None]  # half of the folds have a model on another level
    found = fold_mean_auc(shifted, fold[:, None], followup, horizon_months=HORIZON)
    same = fold_mean_auc(risk[:, None], fold[:, None], followup, horizon_months=HORIZON)
    assert found == pytest.approx(same)
    setting = {"horizon_months": HORIZON, "samples": 60, "level": 0.95}
    pooled = resample_auc({"m": shifted}, followup, rng=np.random.default_rng(1), **setting).point["m"]
    assert pooled < same - 0.05


def test_the_mean_over_folds_stands_in_the_table_of_cross_validated_aucs(cohort):
    risk, followup = cohort(160, seed=4)
    ids = [f"P{i}" for i in range(160)]
    patients = pd.DataFrame(
        {"patient_id": ids, "centre": followup.centre, "mfs_months": followup.months, "mfs_event": followup.event}
    )
    predictions = pd.DataFrame(
        {"patient_id": ids, "model": FEDERATED, "repeat": 0, "fold": np.arange(160) % 4, "risk": risk}
    )
    setting = {"horizon_months": HORIZON, "resampling": Resampling(samples=60, level=0.95, seed=1)}
    crossed = evaluation_set("cross-validation", patients, predictions)
    found = compare_models(
        [crossed, crossed.for_centre("IB"), evaluation_set("validation", patients, predictions.drop(columns="fold"))],
        **setting,
    )
    wide = tables.readable(found.table)
    assert list(wide.columns).count("mean over folds") == 1
    expected = fold_mean_auc(risk[:, None], (np.arange(160) % 4)[:, None], followup, horizon_months=HORIZON)
    assert wide["mean over folds"].iloc[0] == f"{expected:.3f}"


def test_few_patients_have_no_interval_in_table_and_figure():
    from sarcnet.evaluation.figures.comparisons import draw_forest

    followup = Followup(np.r_[np.full(8, 20.0), np.full(5, 90.0)], np.r_[np.ones(8, int), np.zeros(5, int)],
                        np.full(13, "IB"))  # fmt: skip
    risk = np.r_[np.linspace(0.6, 0.9, 8), np.linspace(0.1, 0.5, 5)][:, None]
    found = resample_auc(
        {FEDERATED: risk}, followup, horizon_months=HORIZON, samples=60, level=0.95, rng=np.random.default_rng(1)
    )
    table = tables.auc_table({"validation, IB": found}, sizes={"validation, IB": 13})
    cell = tables.readable(table).iloc[0, 0]
    assert cell == "1.000 (8 cases, 5 controls: too few for an interval)"
    figure = draw_forest(table)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "too few for an interval" in legend


def test_groups_of_cross_validated_risks_are_shown_without_p_also_in_the_figure(cohort):
    from sarcnet.cohort.endpoint import METASTASIS
    from sarcnet.evaluation.failure_log import FailureLog
    from sarcnet.evaluation.figures.risk import draw_survival
    from sarcnet.evaluation.subgroups.risk_groups import survival_of

    risk, followup = cohort(160, seed=4)
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(160)],
            "centre": followup.centre,
            "mfs_months": followup.months,
            "mfs_event": followup.event,
        }
    )
    everyone = [
        EvaluationSet(name, patients, {FEDERATED: risk[:, None]}) for name in ("cross-validation", "validation")
    ]
    found = survival_of(
        everyone, model=FEDERATED, cut=0.5, months_shown=[0.0, 60.0], tested=["validation"], endpoint=METASTASIS,
        log=FailureLog(),
    )  # fmt: skip
    titles = [ax.get_title() for ax in draw_survival(found, horizon_months=HORIZON, endpoint=METASTASIS).axes]
    assert titles[0] == "cross-validation, n = 160"
    assert " P " in titles[1]
    assert "Gray's test P" in titles[3]
    assert titles[2] == ""
