"""Virtual patients: targets met, outcomes logical, and nobody changed by a newcomer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sarcnet.cohort.schema import HISTOTYPES, PATIENTS, check_outcomes, check_table
from sarcnet.cohort.settings import CohortSettings
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.params import validated
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients import calibration, simulated_grading
from virtual_cohort.patients.calibration import auc, calibration_report, faults_of, mass_patients, reading_agreement
from virtual_cohort.patients.centres import CENTRES, CLB, IB, virtual_centre
from virtual_cohort.patients.outcome import SCALE_YEARS, SHAPE, THETA, metastasis_years, true_risk
from virtual_cohort.patients.pathology import pathology
from virtual_cohort.patients.random_numbers import mass_draws
from virtual_cohort.patients.simulate import simulate, virtual_patients
from virtual_cohort.patients.simulated_grading import fnclcc_grade


@pytest.fixture(scope="module")
def many():
    return mass_patients(n=12_000, seed=5)


def test_calibration_meets_the_published_intervals():
    assert faults_of(calibration_report(12_000, 11)) == []


def test_who_the_patients_are(many):
    table = many.table
    assert 62 <= table["age_years"].median() <= 66
    assert 0.50 <= (table["sex"] == "male").mean() <= 0.56
    assert 75 <= table["size_mm"].astype(float).median() <= 85
    assert 0.80 <= (table["depth"] == "deep").mean() <= 0.88
    sites = table["site"].value_counts(normalize=True)
    assert 0.60 <= sites["lower_limb"] <= 0.68
    assert 0.21 <= sites["trunk_wall"] <= 0.27
    shares = table["histotype"].value_counts(normalize=True)[list(HISTOTYPES)[:3]]
    assert np.allclose(shares, (0.50, 0.22, 0.18), atol=0.03)
    grades = table["fnclcc_grade"].value_counts(normalize=True)
    assert np.allclose(grades[[1, 2, 3]], (0.05, 0.37, 0.58), atol=0.04)
    ups = table[table["histotype"] == "UPS"]
    assert (ups["fnclcc_grade"] > 1).all()


def test_readers_agree_about_as_often_as_published():
    agreed = reading_agreement(n=12_000, seed=3)
    published = pd.Series({"differentiation": 0.74, "mitoses": 0.73, "necrosis": 0.81, "grade": 0.75})  # Coindre 1986
    assert (agreed - published).abs().max() < 0.1
    assert agreed["grade"] < 0.80


def test_a_misread_differentiation_is_one_step_off_and_small_necrosis_is_missed_more_often(monkeypatch):
    draws = mass_draws(np.random.default_rng(8), n=20_000)
    histotype = np.repeat(np.arange(4), 5_000)
    tumour = pathology(draws, histotype=histotype)
    read = simulated_grading.simulated_grading(draws, pathology=tumour, histotype=histotype)
    monkeypatch.setattr(simulated_grading, "DIFFERENTIATION_MISREAD", 0.0)
    sure = simulated_grading.simulated_grading(draws, pathology=tumour, histotype=histotype)
    step = (read["differentiation"] - sure["differentiation"]).to_numpy()
    assert (step[histotype == 0] == 0).all()
    assert set(step[histotype == 2]) == {0, 1}
    assert set(step[histotype == 1]) == {-1, 0, 1}
    assert [np.mean(step[histotype == kind] != 0) for kind in (1, 2, 3)] == pytest.approx([0.25] * 3, abs=0.02)
    missed = (read["necrosis_fraction"] == 0)[tumour["necrosis_fraction"] > 0]
    extent = tumour["necrosis_fraction"][tumour["necrosis_fraction"] > 0]
    assert missed[extent < 0.15].mean() > 3 * missed[extent > 0.3].mean() > 0
    assert (read["necrosis_fraction"][tumour["necrosis_fraction"] == 0] == 0).all()


def test_centres_differ_in_case_mix_follow_up_and_slides(many):
    by = many.table.assign(centre=many.truth["centre"]).groupby("centre")
    assert by["age_years"].median()["IB"] > by["age_years"].median()["CLB"]
    seen = many.table[many.table["mfs_event"] == 0].assign(centre=many.truth["centre"])
    follow = seen.groupby("centre")["mfs_months"].median()
    assert 60 <= follow["IB"] < follow["CLB"] <= 110
    assert {c.scanner.stain for c in CENTRES.values()} == {"HE", "HES"}
    assert (CLB.scanner.mpp, IB.scanner.mpp) == (0.5022, 0.4545)


def test_other_names_give_other_hospitals_the_same_whenever_named():
    names = [f"H{k}" for k in range(20)]
    drawn = [virtual_centre(name) for name in names]
    assert drawn == [virtual_centre(name) for name in names]
    assert len({centre.scanner for centre in drawn}) == 20
    assert {centre.scanner.stain for centre in drawn} == {"HE", "HES"}
    for centre in drawn:
        assert sum(centre.mix.histotypes) == pytest.approx(1)
        assert sum(centre.mix.sites) == pytest.approx(1)
        assert all(0 < share < 0.2 for share in centre.missing.values())
        assert set(centre.missing) == set(CLB.missing) | set(IB.missing)
        assert 3 <= centre.follow_up["validation"].years_min < centre.follow_up["validation"].years_max <= 8
    faults = ErrorCollector()
    table = virtual_patients(3, centre=drawn[0], series="training", count=60).table
    text = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=str)
    check_outcomes(check_table(text, columns=PATIENTS, where="H0", faults=faults), where="H0", faults=faults)
    assert faults.sentences == []


def test_numbers_of_hospitals_and_patients_must_fit_together():
    values = yaml.safe_load((Path(__file__).parents[2] / "papermill_params/demo.yaml").read_text())
    values |= {"centres": ["CLB", "Lyon", "CLB"], "patients_training": [10], "patients_validation": [4, 4, 4]}
    with pytest.raises(SarcnetError) as caught:
        validated(CohortSettings, values)
    assert "centres names CLB more than once" in str(caught.value)
    assert "patients_training holds 1 numbers for 3 centres" in str(caught.value)
    values |= {"centres": ["../x", "IB"], "patients_training": [0, 3], "patients_validation": [1, 2]}
    with pytest.raises(SarcnetError) as caught:
        validated(CohortSettings, values)
    assert "'../x'" in str(caught.value)
    assert "patients_training.0" in str(caught.value)


def test_features_follow_one_malignancy_but_not_only_it(many):
    latents = many.truth[["malignancy", *(c for c in many.truth if c.startswith("z_"))]]
    with_malignancy = latents.corr()["malignancy"].drop("malignancy")
    assert with_malignancy.between(0.4, 0.8).all()
    readable = many.truth[["cellularity_per_mm2", "nuclear_area_um2", "anisokaryosis_cv"]].quantile([0.01, 0.99])
    assert (readable.loc[0.99] / readable.loc[0.01] > 2).all()


def test_registry_lacks_what_the_centre_says(many):
    table = many.table.assign(centre=many.truth["centre"])
    for name, centre in CENTRES.items():
        missing = table[table["centre"] == name].isna().mean()
        for column, share in centre.missing.items():
            assert missing[column] == pytest.approx(share, abs=0.015)
        assert missing.drop(list(centre.missing)).max() == 0


def test_true_risk_is_the_share_that_metastasises(many):
    truth = many.truth
    case = (truth["metastasis_years"] <= 5) & (truth["metastasis_years"] < truth["death_years"])
    tenth = pd.qcut(truth["risk_5y_true"], 10)
    gap = case.groupby(tenth, observed=True).mean() - truth["risk_5y_true"].groupby(tenth, observed=True).mean()
    assert gap.abs().max() < 0.045


def test_true_risk_of_the_other_outcome_is_the_share_with_metastasis_or_death(many):
    truth = many.truth
    case = truth[["metastasis_years", "death_years"]].min(axis=1) <= 5
    risk = truth["mfs_risk_5y_true"]
    tenth = pd.qcut(risk, 10)
    gap = case.groupby(tenth, observed=True).mean() - risk.groupby(tenth, observed=True).mean()
    assert gap.abs().max() < 0.045
    assert (risk > truth["risk_5y_true"]).all()
    assert risk.mean() == pytest.approx(case.mean(), abs=0.01)


def test_what_is_seen_is_what_came_first(many):
    months = 12 * many.truth[["metastasis_years", "death_years"]].to_numpy()
    event, seen = many.table["mfs_event"].to_numpy(), many.table["mfs_months"].to_numpy()
    first = months.min(axis=1)
    assert (seen <= np.maximum(np.round(first, 1), 0.1) + 1e-9).all()
    for code in (1, 2):
        rows = event == code
        assert np.allclose(seen[rows], np.maximum(months[rows, code - 1], 0.1), atol=0.051)
        assert (months[rows, code - 1] == first[rows]).all()


def test_metastasis_times_follow_the_cure_model():
    years = metastasis_years(np.zeros(40_000), uniform=(np.arange(40_000) + 0.5) / 40_000)
    assert np.isinf(years).mean() == pytest.approx(np.exp(-THETA), abs=1e-3)
    at_two = np.exp(-THETA * (1 - np.exp(-((2 / SCALE_YEARS) ** SHAPE))))
    assert (years > 2).mean() == pytest.approx(at_two, abs=1e-3)
    risks = true_risk(np.linspace(-3, 3, 9), age_years=np.full(9, 64.0), horizon_years=5.0)
    assert (np.diff(risks) > 0).all()
    old = true_risk(np.zeros(2), age_years=np.array([40.0, 90.0]), horizon_years=5.0)
    assert old[0] > old[1]  # the old die before a metastasis shows


def test_chemotherapy_goes_to_the_sicker(many):
    given = many.table["chemotherapy"] != "none"
    assert many.table.loc[given, "fnclcc_grade"].mean() > many.table.loc[~given, "fnclcc_grade"].mean() + 0.2
    assert many.table.loc[given, "age_years"].mean() < many.table.loc[~given, "age_years"].mean() - 3


@pytest.mark.parametrize(
    ("differentiation", "mitoses", "necrosis", "grade"),
    [
        (1, 9, 0.0, 1),
        (2, 9, 0.0, 1),
        (2, 10, 0.0, 2),
        (3, 9, 0.0, 2),
        (3, 9, 0.6, 3),
        (3, 20, 0.0, 3),
        (2, 19, 0.49, 2),
    ],
)
def test_grade_follows_the_scoring_table(differentiation, mitoses, necrosis, grade):
    found = fnclcc_grade(np.array([differentiation]), mitoses=np.array([mitoses]), necrosis=np.array([necrosis]))
    assert found[0] == grade


def test_one_more_patient_changes_no_other_and_the_seed_changes_all():
    few = virtual_patients(7, centre=CLB, series="training", count=5)
    more = virtual_patients(7, centre=CLB, series="training", count=9)
    pd.testing.assert_frame_equal(few.table, more.table.head(5))
    pd.testing.assert_frame_equal(few.truth, more.truth.head(5))
    other = virtual_patients(8, centre=CLB, series="training", count=5)
    assert (few.truth["linear_predictor"] != other.truth["linear_predictor"]).all()
    later = virtual_patients(7, centre=CLB, series="validation", count=5)
    assert (few.truth["linear_predictor"] != later.truth["linear_predictor"]).all()


def test_the_table_passes_the_schema_that_real_hospitals_face():
    table = virtual_patients(3, centre=IB, series="training", count=200).table
    faults = ErrorCollector()
    text = table.map(lambda cell: None if pd.isna(cell) else str(cell))
    check_outcomes(check_table(text, columns=PATIENTS, where="IB", faults=faults), where="IB", faults=faults)
    assert faults.sentences == []


@pytest.mark.parametrize("centre", [CLB, IB], ids=lambda centre: centre.name)
def test_no_luck_of_the_draw_leaves_what_the_schema_takes(centre):
    n = 40_000
    drawn = simulate(
        mass_draws(rng(77, "limits"), n=n), centre=centre, series="training", patient_ids=[str(k) for k in range(n)]
    )
    assert (
        drawn.truth["mitoses_per_10_hpf"].max() > simulated_grading.MITOSES_COUNTED
    )  # so that the limit is put to the test
    for column in PATIENTS:
        if column.numeric:
            cells = drawn.table[column.name].dropna().astype(float)
            assert cells.between(column.low, column.high).all(), column.name


def test_auc_against_counting_pairs():
    case, score = np.array([True, True, False, False]), np.array([3.0, 1.0, 1.0, 0.0])
    assert auc(case, score=score) == (1 + 1 + 0.5 + 1) / 4


def test_the_calibration_table_names_its_rows_in_words() -> None:
    report = dict.fromkeys([*calibration.TARGETS, "auc_oracle"], 0.5)
    rows = list(calibration.calibration_table(report).index)
    assert len(rows) == len(set(rows)) == len(report)
    assert not [text for text in rows if "_" in text]
