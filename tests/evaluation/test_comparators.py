"""The grade and the Cox model learn from training patients only; risk groups and calibration count right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.faults import SarcnetError
from sarcnet.evaluation.attempts import Attempts
from sarcnet.evaluation.auc import Followup
from sarcnet.evaluation.comparators import FNCLCC, SARCULATOR_VARIABLES, cox_risk, for_new_patients, out_of_fold, unseen
from sarcnet.evaluation.incidence import incidence_at
from sarcnet.evaluation.judge import judge
from sarcnet.evaluation.series import series
from sarcnet.evaluation.survival import HIGH, LOW, curves, cut_off, grouped


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
            "histotype": generator.choice(["ups", "leiomyosarcoma"], n),
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
    oof = out_of_fold(patients, folds, horizon_months=60.0)
    found = judge([series("s", patients, oof)], horizon_months=60.0, samples=60, level=0.95, seed=1).results["s"]
    assert found.point[SARCULATOR_VARIABLES] > 0.65
    assert found.point[FNCLCC] > 0.6
    cox = oof.query("model == @SARCULATOR_VARIABLES")["risk"]
    assert cox.between(0, 1).all()
    assert len(cox) == len(patients)


def test_an_outcome_never_reaches_the_patient_s_own_prediction(patients, folds):
    before = out_of_fold(patients, folds, horizon_months=60.0)
    changed = patients.copy()
    changed.loc[0, ["mfs_months", "mfs_event"]] = [1.0, 1]
    after = out_of_fold(changed, folds, horizon_months=60.0)
    own_fold = folds.loc[folds["fold"] == folds.loc[0, "fold"], "patient_id"]
    same = before["patient_id"].isin(own_fold)
    assert np.array_equal(before.loc[same, "risk"], after.loc[same, "risk"])
    assert not np.array_equal(before.loc[~same, "risk"], after.loc[~same, "risk"])


def test_gaps_are_filled_from_training_patients(patients):
    training, new = patients.iloc[:100], patients.iloc[100:].copy()
    new["size_mm"] = np.nan
    filled = new.assign(size_mm=training["size_mm"].median())
    assert np.allclose(*(cox_risk(training, frame, horizon_months=60.0) for frame in (new, filled)))


def test_new_patients_get_both_scores(patients):
    made = for_new_patients(patients.iloc[:100], patients.iloc[100:], horizon_months=60.0)
    assert made.groupby("model").size().to_dict() == {FNCLCC: 50, SARCULATOR_VARIABLES: 50}


def test_a_variable_that_nobody_has_is_named(patients):
    patients["size_mm"] = np.nan
    with pytest.raises(SarcnetError, match="size_mm is missing in all 150 training patients"):
        cox_risk(patients, patients, horizon_months=60.0)


def test_a_model_that_lacks_a_patient_is_named(patients, folds):
    oof = out_of_fold(patients, folds, horizon_months=60.0)
    oof.loc[(oof["model"] == FNCLCC) & (oof["patient_id"] == "P007"), "risk"] = np.nan
    found = series("training", patients, oof)
    assert found.unsaid[0].startswith("training: fnclcc_grade has no risk for 1 patients, the first of them P007")
    assert list(found.risks) == [SARCULATOR_VARIABLES]
    with pytest.raises(SarcnetError, match="cannot be evaluated: fnclcc_grade has no risk"):
        series("training", patients, oof[oof["model"] == FNCLCC])


def test_a_series_without_events_is_told_and_the_others_are_judged(patients, folds):
    oof = out_of_fold(patients, folds, horizon_months=60.0)
    good = series("good", patients, oof)
    bad = series("bad", patients.assign(mfs_event=0), oof)
    judged = judge([bad, good], horizon_months=60.0, samples=60, level=0.95, seed=1)
    assert list(judged.results) == ["good"]
    assert "bad: None of 150 patients had a metastasis" in judged.complaints
    assert set(judged.table["series"]) == {"good"}


def test_risk_groups_are_cut_on_training_and_counted_at_risk(patients):
    patients["risk"] = np.linspace(0, 1, len(patients))
    cut = cut_off(patients["risk"], high_risk_share=0.3)
    split = grouped(patients, cut=cut)
    assert (split["group"] == HIGH).mean() == pytest.approx(0.3, abs=0.02)
    found = curves(split, months_shown=[0.0, 24.0, 60.0])
    for name in (HIGH, LOW):
        own = split[split["group"] == name]
        assert found.at_risk.loc[name].tolist() == [int((own["mfs_months"] >= time).sum()) for time in (0, 24, 60)]
        steps = found.steps[found.steps["group"] == name]
        assert steps["free"].is_monotonic_decreasing
        assert (steps["low"].dropna() <= steps["free"][steps["low"].notna()] + 1e-9).all()
    assert 0 <= found.p <= 1


def test_one_empty_group_leaves_one_curve_and_no_p(patients):
    found = curves(grouped(patients.assign(risk=0.9), cut=0.5), months_shown=[0.0, 60.0])
    assert list(found.at_risk.index) == [HIGH]
    assert np.isnan(found.p)


def test_curves_count_both_events_and_test_both_ways(patients):
    patients["mfs_event"] = np.where(np.arange(len(patients)) % 11 == 0, 2, patients["mfs_event"])
    found = curves(grouped(patients.assign(risk=patients["size_mm"]), cut=80.0), months_shown=[0.0, 60.0])
    both = found.incidence.groupby(["group", "event"])["risk"].max().unstack()
    assert (both["death"] > 0).all()
    assert (both.sum(axis=1) <= 1).all()
    free = found.steps.groupby("group")["free"].min()
    assert (1 - free >= both["metastasis"] - 1e-9).all(), "censoring deaths never lowers the incidence"
    assert 0 <= found.gray_p <= 1


def test_an_unseen_histotype_is_told(patients):
    new = patients.iloc[:4].assign(histotype=["ups", "strange", None, "strange"])
    assert unseen(patients, new) == [
        "2 of 4 patients have a histotype that no training patient has (strange); Cox's model takes them for the "
        "commonest histotype."
    ]
    assert unseen(patients, patients) == []


def test_a_fold_without_metastases_is_told_and_its_model_left_out(patients, folds):
    patients.loc[folds["fold"] != 0, "mfs_event"] = 0
    tried = Attempts()
    oof = out_of_fold(patients, folds, horizon_months=60.0, tried=tried)
    assert any("metastases: there is nothing to learn from" in sentence for sentence in tried.unsaid)
    assert list(series("s", patients, oof).risks) == [FNCLCC]


def test_constant_variables_are_no_variables(patients):
    same = patients.assign(age_years=60.0, fnclcc_grade=3, histotype="ups")
    assert len(np.unique(cox_risk(same, same, horizon_months=60.0))) > 50
    with pytest.raises(SarcnetError, match="none of its variables varies"):
        cox_risk(same.assign(size_mm=80.0), same, horizon_months=60.0)


def test_without_deaths_cox_says_one_minus_survival(patients):
    from lifelines import CoxPHFitter

    table = patients[["age_years", "size_mm", "mfs_months", "mfs_event"]].dropna()
    same = patients.loc[table.index].assign(histotype="ups", fnclcc_grade=pd.array([2] * len(table), dtype="Int64"))
    design = pd.DataFrame({"age": table["age_years"] / 10, "size": np.sqrt(table["size_mm"] / 10)})
    fitted = CoxPHFitter(penalizer=0.01).fit(
        design.assign(t=table["mfs_months"], e=table["mfs_event"]), duration_col="t", event_col="e"
    )
    survival = fitted.predict_survival_function(design, times=[60.0]).to_numpy()[0]
    assert np.allclose(cox_risk(same, same, horizon_months=60.0), 1 - survival, atol=1e-6)


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
            "histotype": "ups",
            "mfs_months": np.minimum(np.minimum(metastasis, death), 90.0),
            "mfs_event": np.where(np.minimum(metastasis, death) > 90, 0, np.where(metastasis < death, 1, 2)),
        }
    )
    risk = cox_risk(frame, frame, horizon_months=60.0)
    for group, rate in ((old, 0.02), (~old, 0.002)):
        own = frame[group]
        followup = Followup(own["mfs_months"].to_numpy(), own["mfs_event"].to_numpy(), np.full(len(own), "a"))
        lived = incidence_at(followup, horizon_months=60.0, competing=True)[0]
        assert risk[group].mean() == pytest.approx(lived, abs=0.01)
        assert lived == pytest.approx(0.02 / (0.02 + rate) * -np.expm1(-(0.02 + rate) * 60), abs=0.04)
    assert risk[old].mean() < 1 - np.exp(-0.02 * 60) - 0.15
