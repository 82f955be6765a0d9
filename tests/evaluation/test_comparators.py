"""The grade and the Cox models learn from training patients only; risk groups and calibration count right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.endpoint import METASTASIS
from sarcnet.cohort.incidence import incidence_at
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.comparators import cox as comparators
from sarcnet.evaluation.comparators import ridge_cox
from sarcnet.evaluation.comparators.cox import CLINICAL, FNCLCC, NOMOGRAM, SARCULATOR_VARIABLES, WITH_AGE, grade_score
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.evaluation.metrics.kaplan_meier import HIGH, LOW, curves, grouped
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import compare_models
from sarcnet.evaluation.predictions import evaluation_set
from sarcnet.evaluation.subgroups.risk_groups import cut_off
from sarcnet.evaluation.tables.text import PAPER_NOTE
from sarcnet.model.names import label

SETTING = {"horizon_months": 60.0, "seed": 1}


def cox_risk(training, patients, **more):
    return comparators.cox_risk(training, patients, **{**SETTING, **more})


def out_of_fold(patients, folds, **more):
    return comparators.out_of_fold(patients, folds, **{**SETTING, **more})


@pytest.fixture
def patients() -> pd.DataFrame:
    """150 patients whose fate follows size and grade; some values missing."""
    generator = np.random.default_rng(0)
    n = 150
    size, grade = generator.lognormal(4.4, 0.5, n), generator.choice([1, 2, 3], n, p=[0.1, 0.4, 0.5])
    hazard = np.exp(0.8 * grade + 0.15 * np.sqrt(size))
    months = generator.exponential(6000 / hazard)
    lost = generator.uniform(40, 140, n)
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "centre": np.where(np.arange(n) % 2, "CLB", "IB"),
            "age_years": generator.normal(63, 12, n),
            "size_mm": size,
            "fnclcc_grade": pd.array(grade, dtype="Int64"),
            "histotype": generator.choice(["UPS", "leiomyosarcoma"], n),
            "mfs_months": np.minimum(months, lost),
            "mfs_event": (months <= lost).astype(int),
        }
    )
    frame.loc[3, "fnclcc_grade"], frame.loc[5, "size_mm"], frame.loc[8, "histotype"] = pd.NA, np.nan, None
    return frame


@pytest.fixture
def folds(patients) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients["patient_id"], "repeat": 0, "fold": np.arange(len(patients)) % 3})


def test_cox_finds_the_signal_and_predicts_probabilities(patients, folds):
    oof = out_of_fold(patients, folds)
    found = compare_models(
        [evaluation_set("s", patients, oof)], horizon_months=60.0, resampling=Resampling(samples=60, level=0.95, seed=1)
    ).results["s"]
    assert found.point[SARCULATOR_VARIABLES] > 0.65
    assert found.point[FNCLCC] > 0.6
    cox = oof.query("model == @SARCULATOR_VARIABLES")["risk"]
    assert cox.between(0, 1).all()
    assert len(cox) == len(patients)


def test_an_outcome_never_reaches_the_patient_s_own_prediction(patients, folds):
    before = out_of_fold(patients, folds)
    changed = patients.copy()
    changed.loc[0, ["mfs_months", "mfs_event"]] = [1.0, 1]
    after = out_of_fold(changed, folds)
    own_fold = folds.loc[folds["fold"] == folds.loc[0, "fold"], "patient_id"]
    same = before["patient_id"].isin(own_fold)
    assert np.array_equal(before.loc[same, "risk"], after.loc[same, "risk"])
    assert not np.array_equal(before.loc[~same, "risk"], after.loc[~same, "risk"])


def test_the_model_on_the_nomogram_s_variables_knows_nothing_else(patients):
    """Its risk is a function of size, grade and histotype: another age, or death at another age, changes nothing."""
    patients["mfs_event"] = np.where(np.arange(len(patients)) % 7 == 0, 2, patients["mfs_event"])
    other = patients.assign(age_years=patients["age_years"].to_numpy()[::-1])
    assert NOMOGRAM == ("size_mm", "fnclcc_grade", "histotype")
    assert np.array_equal(cox_risk(patients, patients), cox_risk(patients, other))
    with_age = {"variables": (*NOMOGRAM, "age_years")}
    assert not np.allclose(cox_risk(patients, patients, **with_age), cox_risk(patients, other, **with_age))


def test_a_missing_value_becomes_the_training_mean_and_is_marked_as_in_the_network(patients):
    training, new = patients.iloc[:100].copy(), patients.iloc[100:].copy()
    new["size_mm"] = np.nan
    training.loc[training.index[:40], "size_mm"] = np.nan
    bare = training["size_mm"].dropna()
    filled = new.assign(size_mm=np.sqrt(bare).mean() ** 2)
    marked = training.assign(mfs_event=np.where(training["size_mm"].isna(), 1, training["mfs_event"]))
    assert (cox_risk(marked, new) > cox_risk(marked, filled)).all(), "being missing goes with metastases here"
    whole = training.fillna({"size_mm": 60.0})  # nobody lacks a size: a mark would mean nothing
    usual = new.assign(size_mm=np.sqrt(whole["size_mm"]).mean() ** 2)
    assert np.allclose(cox_risk(whole, new), cox_risk(whole, usual))


def test_the_grade_needs_the_grade_only(patients):
    bare = patients.assign(size_mm=np.nan, age_years=np.nan, histotype=None)
    score = grade_score(bare, bare)
    known = patients["fnclcc_grade"].notna().to_numpy()
    assert np.array_equal(score[known], patients.loc[known, "fnclcc_grade"].astype(float))
    assert score[~known] == pytest.approx(patients["fnclcc_grade"].astype(float).mean())
    with pytest.raises(SarcnetError, match="fnclcc_grade is missing for all 150 training patients"):
        grade_score(patients.assign(fnclcc_grade=np.nan), patients)


def test_new_patients_get_every_score(patients):
    named = {"clinical_variables": ["size_mm", "age_years"]}
    made = comparators.for_new_patients(patients.iloc[:100], patients.iloc[100:], **SETTING, **named)
    assert made.groupby("model").size().to_dict() == dict.fromkeys(
        (FNCLCC, SARCULATOR_VARIABLES, WITH_AGE, CLINICAL), 50
    )
    assert made["risk"].notna().all()


def test_a_variable_that_nobody_has_leaves_the_cox_models_with_a_sentence(patients, folds):
    bare, log = patients.assign(size_mm=np.nan), FailureLog()
    oof = out_of_fold(bare, folds, log=log)
    assert log.failures == ["No training patient has a value of size_mm: the Cox models go without it."]
    without = out_of_fold(bare, folds, log=FailureLog())
    assert oof["risk"].notna().all()
    cox = oof.query("model == @SARCULATOR_VARIABLES")["risk"].to_numpy()
    assert np.array_equal(cox, without.query("model == @SARCULATOR_VARIABLES")["risk"])
    assert len(np.unique(cox)) > 6, "grade and histotype are left"
    log = FailureLog()
    out_of_fold(patients, folds, log=log)
    assert log.failures == []


def test_what_one_fold_lacks_is_said_of_that_fold(patients, folds):
    rare = patients.copy()
    rare.loc[folds["fold"] == 1, "histotype"] = "MPNST"
    for repeats, said in (
        (
            1,
            "Of the training patients for repeat 0, fold 1, none has MPNST: the Cox models treat patients who have it as UPS.",
        ),
        (
            2,
            "Of the training patients for repeat 0, fold 1, none has MPNST: the Cox models treat patients who have it as UPS "
            "(the same in 2 of 6 folds).",
        ),
    ):
        log = FailureLog()
        dealt = pd.concat([folds.assign(repeat=number) for number in range(repeats)])
        oof = out_of_fold(rare, dealt, log=log)
        assert log.failures == [said]
    training = rare[(folds["fold"] != 1).to_numpy()]
    as_ups = cox_risk(training, rare[(folds["fold"] == 1).to_numpy()].assign(histotype="UPS"))
    mine = oof[(oof["fold"] == 1) & (oof["repeat"] == 0) & (oof["model"] == SARCULATOR_VARIABLES)]["risk"]
    assert np.allclose(mine, as_ups)


def test_names_say_what_the_comparator_is():
    assert label(SARCULATOR_VARIABLES) == "Cox, size + grade + histotype (Sarculator's variables)"
    assert "age" in label(WITH_AGE)
    assert "four variables" not in PAPER_NOTE


def test_a_model_that_lacks_a_patient_is_named(patients, folds):
    oof = out_of_fold(patients, folds)
    oof.loc[(oof["model"] == FNCLCC) & (oof["patient_id"] == "P007"), "risk"] = np.nan
    found = evaluation_set("training", patients, oof)
    assert found.failures[0].startswith("training: fnclcc_grade has no risk for 1 patients, the first of them P007")
    assert list(found.risks) == [SARCULATOR_VARIABLES, WITH_AGE]
    with pytest.raises(SarcnetError, match="cannot be evaluated: fnclcc_grade has no risk"):
        evaluation_set("training", patients, oof[oof["model"] == FNCLCC])


def test_a_series_without_events_is_told_and_the_others_are_judged(patients, folds):
    oof = out_of_fold(patients, folds)
    good = evaluation_set("good", patients, oof)
    bad = evaluation_set("bad", patients.assign(mfs_event=0), oof)
    judged = compare_models([bad, good], horizon_months=60.0, resampling=Resampling(samples=60, level=0.95, seed=1))
    assert list(judged.results) == ["good"]
    assert "bad: None of 150 patients had the event" in judged.warnings
    assert set(judged.table["series"]) == {"good"}


def test_risk_groups_are_cut_on_training_and_counted_at_risk(patients):
    patients["risk"] = np.linspace(0, 1, len(patients))
    cut = cut_off(patients["risk"], high_risk_share=0.3)
    split = grouped(patients, cut=cut)
    assert (split["group"] == HIGH).mean() == pytest.approx(0.3, abs=0.02)
    found = curves(split, months_shown=[0.0, 24.0, 60.0], tests=True, endpoint=METASTASIS)
    for name in (HIGH, LOW):
        own = split[split["group"] == name]
        assert found.at_risk.loc[name].tolist() == [int((own["mfs_months"] >= time).sum()) for time in (0, 24, 60)]
        steps = found.steps[found.steps["group"] == name]
        assert steps["free"].is_monotonic_decreasing
        assert (steps["low"].dropna() <= steps["free"][steps["low"].notna()] + 1e-9).all()
    assert 0 <= found.p <= 1


def test_one_empty_group_leaves_one_curve_and_no_p(patients):
    found = curves(
        grouped(patients.assign(risk=0.9), cut=0.5), months_shown=[0.0, 60.0], tests=True, endpoint=METASTASIS
    )
    assert list(found.at_risk.index) == [HIGH]
    assert np.isnan(found.p)


def test_curves_count_both_events_and_test_both_ways(patients):
    patients["mfs_event"] = np.where(np.arange(len(patients)) % 11 == 0, 2, patients["mfs_event"])
    found = curves(
        grouped(patients.assign(risk=patients["size_mm"]), cut=80.0),
        months_shown=[0.0, 60.0],
        tests=True,
        endpoint=METASTASIS,
    )
    both = found.incidence.groupby(["group", "event"])["risk"].max().unstack()
    assert (both["death without metastasis"] > 0).all()
    assert (both.sum(axis=1) <= 1).all()
    free = found.steps.groupby("group")["free"].min()
    assert (1 - free >= both["metastasis"] - 1e-9).all(), "censoring deaths never lowers the incidence"
    assert 0 <= found.gray_p <= 1


def test_a_fold_without_metastases_is_told_and_its_model_left_out(patients, folds):
    patients.loc[folds["fold"] != 0, "mfs_event"] = 0
    log = FailureLog()
    oof = out_of_fold(patients, folds, log=log)
    assert any("without an event" in sentence for sentence in log.failures)
    assert list(evaluation_set("s", patients, oof).risks) == [FNCLCC]


def test_constant_variables_are_no_variables(patients):
    same = patients.assign(age_years=60.0, fnclcc_grade=3, histotype="UPS")
    assert len(np.unique(cox_risk(same, same))) > 50
    with pytest.raises(SarcnetError, match="none of its variables varies"):
        cox_risk(same.assign(size_mm=80.0), same)


def test_cox_is_lifelines_with_the_same_penalty(patients, monkeypatch):
    from lifelines import CoxPHFitter

    same = patients.dropna(subset=["size_mm", "fnclcc_grade", "histotype"])
    for penalty in (0.01, 0.3):
        monkeypatch.setattr(ridge_cox, "PENALTIES", (penalty,))
        columns = {
            "size": np.sqrt(same["size_mm"]),
            "grade": same["fnclcc_grade"].astype(float),
            "third": (same["fnclcc_grade"] == 3).astype(float),
            "type": (same["histotype"] == "leiomyosarcoma").astype(float),
        }
        design = pd.DataFrame(columns)
        design = (design - design.mean()) / design.std(ddof=0)
        fitted = CoxPHFitter(penalizer=penalty).fit(
            design.assign(t=same["mfs_months"], e=same["mfs_event"]), duration_col="t", event_col="e"
        )
        survival = fitted.predict_survival_function(design, times=[60.0]).to_numpy()[0]
        assert np.allclose(cox_risk(same, same), 1 - survival, atol=1e-3)


def test_the_penalty_is_strong_where_there_is_nothing_to_learn_and_weak_where_there_is_much():
    g = np.random.default_rng(4)
    x = g.standard_normal((300, 6))
    chosen = {}
    for strength in (0.0, 1.5):
        months = g.exponential(40 / np.exp(strength * x[:, 0]))
        chosen[strength] = ridge_cox.chosen_penalty(x, months=months, event=months < 60, generator=g)
    assert chosen[0.0] == max(ridge_cox.PENALTIES)
    assert chosen[1.5] <= 0.01


def test_an_inner_choice_never_beats_itself_by_seeing_the_patients_left_out(patients):
    """The penalty of one fold depends on its training patients only."""
    training, held = patients.iloc[:100], patients.iloc[100:]
    changed = held.assign(mfs_event=1 - held["mfs_event"], mfs_months=5.0)
    assert np.array_equal(cox_risk(training, held), cox_risk(training, changed))


def test_with_deaths_cox_gives_the_incidence_that_is_lived_through():
    """Constant hazards 0.02 a month of metastasis, and of death 0.02 for the old, 0.002 for the young: Aalen-Johansen's
    number for each group, and not the larger one of a world without death."""
    g = np.random.default_rng(7)
    n = 4000
    old = np.arange(n) % 2 == 0
    metastasis, death = g.exponential(1 / 0.02, n), g.exponential(1 / np.where(old, 0.02, 0.002))
    frame = pd.DataFrame(
        {
            "age_years": np.where(old, 80.0, 40.0),
            "size_mm": g.uniform(40, 160, n),
            "fnclcc_grade": pd.array(g.choice([2, 3], n), dtype="Int64"),
            "histotype": "UPS",
            "mfs_months": np.minimum(np.minimum(metastasis, death), 90.0),
            "mfs_event": np.where(np.minimum(metastasis, death) > 90, 0, np.where(metastasis < death, 1, 2)),
        }
    )
    risk = cox_risk(frame, frame, variables=(*NOMOGRAM, "age_years"))
    for group, rate in ((old, 0.02), (~old, 0.002)):
        own = frame[group]
        followup = Followup(own["mfs_months"].to_numpy(), own["mfs_event"].to_numpy(), np.full(len(own), "a"))
        lived = incidence_at(followup, horizon_months=60.0, competing=True)[0]
        assert risk[group].mean() == pytest.approx(lived, abs=0.01)
        assert lived == pytest.approx(0.02 / (0.02 + rate) * -np.expm1(-(0.02 + rate) * 60), abs=0.04)
    assert risk[old].mean() < 1 - np.exp(-0.02 * 60) - 0.15


def test_the_cox_models_risks_by_each_month_rise_to_that_of_the_horizon(patients):
    months, log = [12.0, 36.0, 60.0], FailureLog()
    known, new = patients.iloc[:100], patients.iloc[100:]
    found = comparators.in_time(known, new, months=months, seed=1, log=log)
    assert set(found["model"]) == {SARCULATOR_VARIABLES, WITH_AGE}
    wide = found.pivot(index=["model", "patient_id"], columns="months", values="risk")
    assert (np.diff(wide.to_numpy(), axis=1) > 0).all()
    last = comparators.for_new_patients(known, new, horizon_months=60.0, seed=1)
    last = last.set_index(["model", "patient_id"])["risk"]
    assert np.allclose(wide[60.0], last.loc[wide.index])
