"""Many simulated studies: figures lie where they must, and a missed goal is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from studies.cohort_calibration import GOALS, as_markdown, gap_sentences, missed, name_of, report, simulation_digest
from studies.real_patients import NO_SIZE, RECORD, read_real, real_record


@pytest.fixture(scope="module")
def found():
    return report(5, studies=4)


def test_goals_are_met(found):
    assert missed(found) == []
    assert set(GOALS) <= set(found.index)


def test_order_and_spread_are_possible(found):
    mean = found["mean"]
    assert mean["fnclcc_grade"] < mean["sarculator_variables"] < mean["oracle"]
    assert mean["months_to_metastasis_q25"] < mean["months_to_metastasis_q50"] < mean["months_to_metastasis_q75"]
    assert mean[["grade_1", "grade_2", "grade_3"]].sum() == pytest.approx(1)
    assert (found["2.5 %"] <= found["97.5 %"]).all()


def test_a_missed_goal_is_a_sentence(found):
    worse = found.copy()
    worse.loc["fnclcc_grade", "mean"] = 0.9
    assert missed(worse) == ["fnclcc_grade is 0.900 on average, goal 0.67 to 0.743."]


def test_the_report_in_docs_is_of_this_simulation():
    text = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert f"Simulation `{simulation_digest()}`" in text, "run `make calibration`"
    for name in GOALS:
        assert f"| {name_of(name)} |" in text


def test_the_report_says_what_the_tables_say(found):
    best = pd.DataFrame({"AUC at 5 years": [0.68912], "error": [0.001], "n": [60000]}, index=["grade alone"])
    real = json.loads(RECORD.read_text(encoding="utf-8"))
    text = as_markdown(found, best=best, real=real, studies=4, patients=2_000, seed=5)
    mean = found.loc["fnclcc_grade", "mean"]
    row = next(line for line in text.splitlines() if line.startswith("| FNCLCC grade |"))
    assert row.startswith(f"| FNCLCC grade | {mean:.3f} |")
    assert row.endswith(f"| {real['figures']['fnclcc_grade']:.3f} |")
    assert all(sentence in text for sentence in gap_sentences(found, real))
    assert "| grade alone | 0.6891 | 0.0010 | 60,000 |" in text
    assert "grade 7" in text.split("## Two readers")[1].split("(75%)")[0]


def test_the_same_seed_gives_the_same_studies(found):
    assert report(5, studies=4).equals(found)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.50, 0.60, "harder to tell apart"),
        (0.80, 0.90, "easier to tell apart"),
        (0.60, 0.80, "do not contradict each other"),
    ],
)
def test_real_patients_are_called_harder_or_easier_by_their_interval(found, low, high, said):
    real = {"figures": {NO_SIZE: (low + high) / 2}, "intervals": {NO_SIZE: [low, high]}}
    (text,) = gap_sentences(found, real)
    assert said in text
    assert f"{found.loc[NO_SIZE, 'mean']:.3f} in the simulation" in text


def real_table(n: int = 120) -> pd.DataFrame:
    k = np.arange(n)
    late = np.random.default_rng(0).exponential(1 + 2 * (k % 2), n).round(3) + 0.1
    return pd.DataFrame(
        {
            "patient": [f"TCGA-{i:03d}" for i in k],
            "histotype": np.where(k % 3 == 0, "DDLPS", "UPS"),
            "fnclcc": 3 - k % 2,
            "distant_met": ((late < 2) & (k % 11 > 0)).astype(int),
            "time_dm_years": np.where(k % 7 == 0, 9.0, late),
            "dod": (k % 5 == 0).astype(float),
        }
    )


def test_real_patients_become_patients_of_the_study(tmp_path):
    path = tmp_path / "real.csv"
    raw = real_table()
    raw.to_csv(path, index=False)
    table = read_real(path)
    assert table["mfs_months"].to_numpy() == pytest.approx(raw["time_dm_years"] * 12)
    assert (table["mfs_event"] == 1).tolist() == (raw["distant_met"] == 1).tolist()
    assert (table["mfs_event"] == 2).tolist() == ((raw["distant_met"] == 0) & (raw["dod"] == 1)).tolist()
    record = real_record(path, horizon_months=60.0, seed=1)
    assert (record["patients"], record["others"]) == (120, 40)
    low, high = record["intervals"]["fnclcc_grade"]
    assert low < record["figures"]["fnclcc_grade"] < high
    raw.drop(columns="dod").to_csv(path, index=False)
    with pytest.raises(SarcnetError, match="lacks the columns dod"):
        read_real(path)


def test_the_record_is_what_the_real_table_gives():
    folder = os.environ.get("SARCNET_SHARED_DATA")
    if not folder:
        pytest.skip("SARCNET_SHARED_DATA names no folder with the table of real patients")
    found = real_record(Path(folder) / "clinical/tcga_sarc_fnclcc_metastasis_206.csv", horizon_months=60.0, seed=2025)
    kept = json.loads(RECORD.read_text(encoding="utf-8"))
    assert (found["patients"], found["metastases"], found["others"]) == (206, 73, 87)
    assert found["figures"] == pytest.approx(kept["figures"], abs=1e-6)
    assert found["censored"]["fnclcc_grade_c"] == pytest.approx(0.590, abs=0.001)
