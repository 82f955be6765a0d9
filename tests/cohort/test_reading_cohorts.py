"""A cohort comes in whole and typed, or not at all with every fault named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.endpoint import METASTASIS
from sarcnet.cohort.followup import describe_outcomes
from sarcnet.cohort.outcome import with_outcome
from sarcnet.cohort.read import read_cohort
from sarcnet.cohort.schema import PATIENT_COLUMNS
from sarcnet.cohort.table1 import table_one
from sarcnet.compendium.errors import SarcnetError

GOOD = {
    "patient_id": "A1",
    "series": "training",
    "age_years": "64",
    "sex": "male",
    "size_mm": "80",
    "depth": "deep",
    "histotype": "UPS",
    "fnclcc_grade": "3",
    "mfs_months": "12.5",
    "mfs_event": "1",
}


def write_hospital(
    cohort: Path, centre: str, patients: list[dict], slides: list[dict], *, kind: str = "public"
) -> None:
    folder = cohort / centre
    (folder / "slides").mkdir(parents=True)
    pd.DataFrame(patients).reindex(columns=list(PATIENT_COLUMNS)).to_csv(folder / "patients.csv", index=False)
    columns = ["slide_id", "patient_id", "file", "mpp", "stain"]
    pd.DataFrame(slides, columns=columns).to_csv(folder / "slides.csv", index=False)
    (folder / "slides" / "a.svs").write_bytes(b"glass")
    (cohort / "cohort.json").write_text(json.dumps({"kind": kind}))


def test_a_good_cohort_has_types_and_centres(tmp_path):
    slide = {"slide_id": "A1-S1", "patient_id": "A1", "file": "slides/a.svs", "mpp": "0.25"}
    write_hospital(tmp_path, "LYON", [GOOD, {"patient_id": "A2", "series": "validation"}], [slide])
    write_hospital(tmp_path, "NANTES", [{**GOOD, "patient_id": "B1", "mfs_event": "0"}], [])
    cohort = read_cohort(tmp_path, kind="public")
    assert list(cohort.training["patient_id"]) == ["A1", "B1"]
    assert list(cohort.validation["patient_id"]) == ["A2"]
    assert cohort.training.loc[0, "size_mm"] == 80.0
    assert cohort.validation["age_years"].isna().all()
    assert list(cohort.slides["mpp_override"]) == [0.25]
    assert Path(cohort.slides.loc[0, "file"]).name == "a.svs"
    assert list(cohort.patients["centre"]) == ["LYON", "LYON", "NANTES"]


def test_a_patient_without_anything_but_a_name_passes(tmp_path):
    write_hospital(tmp_path, "LYON", [{"patient_id": "A1", "series": "training"}], [])
    cohort = read_cohort(tmp_path, kind="public")
    assert len(with_outcome(cohort.training)) == 0
    variables = table_one(cohort.patients).attrs["variables"]
    assert cohort.patients[variables].isna().all(axis=None)
    assert "–" in set(table_one(cohort.patients).iloc[:, 0])


def test_all_faults_of_all_rows_come_in_one_message(tmp_path):
    patients = [
        {**GOOD, "age_years": "-4", "histotype": "leiomyosarcome"},
        {**GOOD, "mfs_event": ""},
        {**GOOD, "patient_id": "A/3", "fnclcc_grade": "2.5", "series": "test"},
    ]
    slides = [
        {"slide_id": "S1", "patient_id": "A1", "file": "../secret.svs"},
        {"slide_id": "S2", "patient_id": "Z9", "file": "slides/none.svs", "mpp": "250"},
    ]
    write_hospital(tmp_path, "LYON", patients, slides)
    with pytest.raises(SarcnetError) as caught:
        read_cohort(tmp_path, kind="simulated")
    message = str(caught.value)
    expected = [
        "row 2: age_years (age at diagnosis, years) is '-4'",
        "did you mean 'leiomyosarcoma'?",
        "row 3 (A1): only mfs_months is given",
        "'A1' is already in row 2",
        "'A/3' becomes a file name",
        "fnclcc_grade (FNCLCC grade) is '2.5'; give a whole number",
        "series is 'test'",
        "'../secret.svs' leads out of the hospital's folder",
        "patient_id 'Z9' is not in this hospital's patients.csv",
        "'slides/none.svs' is not there",
        "mpp (µm/px, only where the file does not say it) is '250'",
        "says that the cohort is public, cohort_kind says simulated",
    ]
    assert [sentence for sentence in expected if sentence not in message] == []


def test_a_misspelt_column_names_its_neighbour_and_a_patient_at_two_hospitals_is_found(tmp_path):
    write_hospital(tmp_path, "LYON", [GOOD], [])
    write_hospital(tmp_path, "NANTES", [GOOD], [])
    file = tmp_path / "LYON" / "patients.csv"
    file.write_text(file.read_text().replace("size_mm", "size_cm"))
    with pytest.raises(SarcnetError) as caught:
        read_cohort(tmp_path, kind="public")
    assert "unknown column 'size_cm': did you mean 'size_mm'" in str(caught.value)
    assert "column 'size_mm' (largest diameter, mm) is missing" in str(caught.value)
    assert "patient_id 'A1' is used by LYON and NANTES" in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace(",", ";"), "is parted by semicolons"),
        (lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1), "take out the comma at their end"),
    ],
)
def test_a_table_exported_otherwise_is_one_fault_not_one_a_cell(tmp_path, spoil, said):
    write_hospital(tmp_path, "LYON", [GOOD, {**GOOD, "patient_id": "A2"}], [])
    file = tmp_path / "LYON" / "patients.csv"
    file.write_text(spoil(file.read_text()))
    with pytest.raises(SarcnetError, match=r"\(1 fault\)") as caught:
        read_cohort(tmp_path, kind="public")
    assert said in str(caught.value)


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    with pytest.raises(SarcnetError, match="has no hospital"):
        read_cohort(tmp_path, kind="private")


def test_outcomes_of_the_validation_series_are_hidden(tmp_path):
    rows = [GOOD, {**GOOD, "patient_id": "A2", "series": "validation"}]
    write_hospital(tmp_path, "LYON", rows, [])
    shown = read_cohort(tmp_path, kind="public").without_outcomes
    assert shown.set_index("patient_id")["mfs_months"].isna().to_dict() == {"A1": False, "A2": True}


def test_table_one_counts_by_hand():
    rows = [
        {"centre": "LYON", "series": "training", "sex": s, "age_years": a} for s, a in [("male", 50), ("female", 70)]
    ]
    rows.append({"centre": "LYON", "series": "training", "sex": None, "age_years": 60})
    table = table_one(pd.DataFrame(rows).reindex(columns=[*PATIENT_COLUMNS, "centre"]))
    column = table["LYON training\nn = 3"]
    assert column[("Sex", "male")] == "1 (50 %)"
    assert column[("Sex", "missing")] == "1 (33 %)"
    assert column[("Age, years", "median (quartiles)")] == "60 (55–65)"
    assert ("Age, years", "missing") not in table.index


def test_follow_up_and_curves_on_an_example_done_by_hand():
    table = pd.DataFrame({"mfs_months": [12.0, 24.0, 36.0, 48.0], "mfs_event": [1, 0, 2, 0], "centre": "LYON"})
    outcomes = describe_outcomes(table, endpoint=METASTASIS)
    assert outcomes.follow_up.loc["LYON", "median_years"] == 4.0  # of those still seen at 2 years 1 in 3 leaves
    assert outcomes.free_at(3.0)["LYON"][0] == pytest.approx(0.75)
    assert np.isnan(outcomes.free_at(9.0)["LYON"]).all()  # nobody was seen so long
    last = outcomes.cumulative_incidence.groupby("event")["incidence"].last()
    assert last["metastasis"] == pytest.approx(0.25, abs=1e-6)
    assert last["death without metastasis"] == pytest.approx(0.75 / 2, abs=1e-6)
    assert list(outcomes.at_risk.loc["LYON"])[:5] == [4, 4, 3, 2, 1]


def test_metastases_found_at_diagnosis_are_counted_in_every_curve():
    """4 of 20 had one at month 0; three more by five years, of those then under observation."""
    months = np.r_[np.zeros(4), np.full(3, 30.0), np.full(1, 20.0), np.full(12, 80.0)]
    table = pd.DataFrame({"mfs_months": months, "mfs_event": [1] * 7 + [0] * 13, "centre": "LYON"})
    right = 0.2 + 0.8 * 3 / 15
    outcomes = describe_outcomes(table, endpoint=METASTASIS)
    incidence = outcomes.cumulative_incidence.set_index("event").loc["metastasis"]
    assert incidence[incidence["years"] <= 5]["incidence"].iloc[-1] == pytest.approx(right)
    assert outcomes.free_at(5.0)["LYON"][0] == pytest.approx(1 - right)


def test_hospitals_are_not_pooled_in_the_incidence():
    """BORDEAUX, with more metastases, is watched for two years only: pooled, the late risk is LYON's alone."""
    rng = np.random.default_rng(0)
    n = 20_000
    centre = np.where(np.arange(n) % 2, "LYON", "BORDEAUX")
    metastasis = rng.exponential(np.where(centre == "LYON", 200.0, 40.0))
    leaving = rng.uniform(0, np.where(centre == "LYON", 100.0, 62.0))
    table = pd.DataFrame(
        {
            "mfs_months": np.minimum(metastasis, leaving),
            "mfs_event": (metastasis <= leaving).astype(int),
            "centre": centre,
        }
    )
    found = describe_outcomes(table, endpoint=METASTASIS).cumulative_incidence
    at_five = found[found["years"] <= 5]["incidence"].iloc[-1]
    truth = np.mean(metastasis <= 60)
    pooled = describe_outcomes(table.assign(centre="all"), endpoint=METASTASIS).cumulative_incidence
    assert at_five == pytest.approx(truth, abs=0.02)
    assert abs(pooled[pooled["years"] <= 5]["incidence"].iloc[-1] - truth) > 0.04
    assert found["years"].max() <= 62 / 12, "it ends with the hospital that was watched least"


def test_the_cohort_notebook_says_who_was_not_followed_to_the_horizon():
    table = pd.DataFrame(
        {
            "mfs_months": [10.0, 59.0, 60.0, 61.0, 10.0, 40.0],
            "mfs_event": [1, 0, 0, 2, 1, 0],
            "centre": ["LYON"] * 4 + ["BORDEAUX"] * 2,
        }
    )
    said = describe_outcomes(table, endpoint=METASTASIS).to_the_horizon
    assert (
        "LYON: 2 of 4 are known to be free of metastasis then, 1 had a metastasis by then, 0 had died without one"
        in said
    )
    assert "1 had been lost" in said
    assert "**Attention: BORDEAUX was not followed to 60 months: none of its 2 patients" in said
    assert "Attention" not in describe_outcomes(table, endpoint=METASTASIS, horizon_months=40.0).to_the_horizon
    assert "Attention" not in describe_outcomes(table[table["centre"] == "LYON"], endpoint=METASTASIS).to_the_horizon
    assert "No outcome is known" in describe_outcomes(table.iloc[:0], endpoint=METASTASIS).to_the_horizon
