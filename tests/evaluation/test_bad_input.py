"""Data that cannot answer: each question that has no answer gets a sentence, every other one is answered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.endpoint import METASTASIS
from sarcnet.evaluation.calibration.by_series import Calibrations, calibration_of
from sarcnet.evaluation.clinical_value import decisions as clinical_value
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics import over_time
from sarcnet.evaluation.metrics.auc import auc
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import Comparison, compare_models
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.sensitivity.alternatives import weightings
from sarcnet.evaluation.subgroups.heterogeneity import Subgroups, judge_subgroups
from sarcnet.evaluation.subgroups.risk_groups import moves_of, survival_of
from sarcnet.evaluation.tables import text as tables

HORIZON = 60.0
OURS, CLINICAL, GRADE = "sarcnet_fedavg", "sarculator_variables", "fnclcc_grade"


@dataclass
class Everything:
    """What notebook 05 computes of one series."""

    judged: Comparison
    subgroups: Subgroups
    in_time: pd.DataFrame
    numbers: pd.DataFrame
    weighting: pd.DataFrame
    calibrated: Calibrations
    survival: dict
    decisions: pd.DataFrame
    thresholds: pd.DataFrame
    moved: dict
    said: str


def evaluate(series: EvaluationSet) -> Everything:
    """All of notebook 05's questions to one series."""
    log = FailureLog()
    setting = {"horizon_months": HORIZON, "resampling": Resampling(samples=60, level=0.95, seed=1, log=log)}
    judged = compare_models([series], **setting)
    subgroups = judge_subgroups(series, model=series.primary_model, other=GRADE, **setting)
    log.add(*judged.failures, *subgroups.failures)
    in_time = over_time.auc_in_time(series, [OURS, GRADE], months=[24.0, HORIZON], resampling=setting["resampling"])
    numbers = over_time.metrics_table(series, horizon_months=HORIZON, log=log)
    weighting = weightings([series], model=OURS, horizon_months=HORIZON, training=series.followup)
    calibrated = calibration_of([series], model=OURS, endpoint=METASTASIS, groups=3, **setting)
    survival = survival_of(
        [series], model=OURS, cut=0.5, months_shown=[0.0, 60.0], tested=["s"], endpoint=METASTASIS, log=log
    )
    decisions = clinical_value.decisions_of(series, [OURS, CLINICAL], **setting)
    thresholds = clinical_value.thresholds_of(series, OURS, thresholds=[0.4], **setting)
    moved = moves_of(series, OURS, {GRADE: 3.0}, cut=0.5, horizon_months=HORIZON, level=0.95, log=log)
    return Everything(
        judged,
        subgroups,
        in_time,
        numbers,
        weighting,
        calibrated,
        survival,
        decisions,
        thresholds,
        moved,
        log.summary_text(),
    )


@pytest.fixture
def sound(cohort) -> EvaluationSet:
    risk, followup = cohort(150, seed=1)
    k = np.arange(150)
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in k],
            "centre": followup.centre,
            "mfs_months": followup.months,
            "mfs_event": followup.event,
            "size_mm": np.where(k % 2, 50.0, 120.0),
            "fnclcc_grade": 2.0 + (risk > 0.5),
            "depth": np.where(k % 3, "deep", "superficial"),
            "histotype": np.where(k % 3, "UPS", "MPNST"),
            "sex": np.where(k % 7 < 3, "female", "male"),
            "age_years": np.where(k % 4, 70.0, 50.0),
        }
    )
    grade = patients["fnclcc_grade"].to_numpy()
    return EvaluationSet("s", patients, {OURS: risk[:, None], CLINICAL: np.sqrt(risk)[:, None], GRADE: grade[:, None]})


def changed(series: EvaluationSet, **columns: object) -> EvaluationSet:
    return EvaluationSet(series.name, series.patients.assign(**columns), series.risks)


def test_sound_data_answer_everything(sound):
    found = evaluate(sound)
    assert len(found.judged.table) == 3
    assert set(found.in_time["months"]) == {24.0, HORIZON}
    assert found.numbers.drop(index=tables.label(GRADE)).notna().all().all()
    assert found.calibrated.lived
    assert len(found.calibrated.table) == 2
    assert len(found.decisions)
    assert len(found.thresholds) == 7
    assert list(found.moved) == [GRADE]
    assert len(tables.threshold_text(found.thresholds)) == 1


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"mfs_event": 0}, "None of 150 patients had the event by 60 months"),
        ({"mfs_event": 1, "mfs_months": 12.0}, "None of 150 patients is known to have been free of it by 60 months"),
        ({"mfs_event": 1, "mfs_months": 80.0}, "None of 150 patients had the event by 60 months"),
    ],
    ids=["all censored", "one class only", "no event before the horizon"],
)
def test_without_two_kinds_of_patients_there_is_no_auc_but_there_are_curves(sound, columns, sentence):
    found = evaluate(changed(sound, **columns))
    assert sentence in found.said
    assert found.judged.results == {}
    assert found.numbers["AUC"].isna().all()
    assert found.decisions.empty
    assert found.thresholds.empty
    assert tables.readable(found.judged.table).empty
    assert tables.threshold_text(found.thresholds).empty
    assert set(found.survival["s"].at_risk.index) == {"high risk", "low risk"}
    assert sum(found.survival["s"].at_risk[0.0]) == 150


def test_a_horizon_beyond_the_follow_up_is_told_and_earlier_horizons_are_judged(sound):
    months = np.minimum(sound.patients["mfs_months"], 40.0)
    found = evaluate(changed(sound, mfs_months=months))
    for centre in ("CLB", "IB"):
        assert f"{centre} was not followed to 60 months: none of its" in found.said
    assert "the longest follow-up is 40.0 months" in found.said
    assert "Choose an earlier horizon_months." in found.said
    assert set(found.in_time["months"]) == {24.0}


def test_a_hospital_watched_too_briefly_is_named_and_leaves_both_sides(sound):
    centre = sound.patients["centre"]
    months = np.where(centre == "CLB", np.minimum(sound.patients["mfs_months"], 40.0), sound.patients["mfs_months"])
    found = evaluate(changed(sound, mfs_months=months))
    assert f"CLB was not followed to 60 months: none of its {(centre == 'CLB').sum()} patients" in found.said
    assert "IB was not followed" not in found.said
    assert "was not followed" not in evaluate(sound).said
    other = sound.for_centre("IB")
    alone = auc(other.risks[OURS][:, 0], other.followup, horizon_months=HORIZON)
    assert found.judged.results["s"].point[OURS] == pytest.approx(alone)
    assert (found.judged.table["n"] == len(other)).all()
    assert found.numbers.loc[tables.label(OURS), "AUC"] == pytest.approx(alone)
    assert found.calibrated.lived["s"].predicted == pytest.approx(other.risks[OURS].mean())
    assert found.calibrated.groups["s"]["n"].sum() == len(other)


def test_one_hospital_and_constant_variables_leave_nothing_to_compare(sound):
    found = evaluate(changed(sound, centre="only", depth="deep"))
    assert "hospital: all patients are alike (only)" in found.said
    assert "depth: all patients are alike (deep)" in found.said
    assert found.judged.results["s"].point[OURS] > 0.5


def test_equal_risks_have_an_auc_of_a_half_and_no_calibration(sound):
    risks = sound.risks | {OURS: np.full((150, 1), 0.6)}
    found = evaluate(EvaluationSet("s", sound.patients, risks))
    assert found.judged.results["s"].point[OURS] == 0.5
    assert "s, calibration: 1 different risks" in found.said
    assert "Nobody is in the group at low risk" in found.said
    assert len(found.decisions)


def test_missing_risks_are_named_by_model_and_number(sound):
    broken = sound.risks[CLINICAL].copy()
    broken[:4] = np.nan
    found = evaluate(EvaluationSet("s", sound.patients, sound.risks | {CLINICAL: broken}))
    assert "Risks are missing (NaN), by model and number: sarculator_variables (4)" in found.said
    assert "4 of 150 patients have no predicted risk (NaN)" in found.said
    assert found.numbers.loc[tables.label(OURS)].notna().all()
    assert found.calibrated.lived


def test_a_series_of_nobody_has_empty_tables(sound):
    nobody = EvaluationSet("later", sound.patients.iloc[:0], {})
    judged = compare_models([nobody], horizon_months=HORIZON, resampling=Resampling(samples=60, level=0.95, seed=1))
    assert "no patient with a known outcome" in judged.warnings
    assert tables.readable(judged.table).empty
    nothing = pd.DataFrame(columns=["patient_id", "model", "months", "risk"])
    assert over_time.brier_table(nobody, nothing, models=[OURS], log=FailureLog()).empty
