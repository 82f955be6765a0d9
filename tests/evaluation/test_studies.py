"""Many simulated studies: figures lie where they must, and a missed goal is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sarcnet.evaluation.studies import GOALS, as_markdown, missed, report, simulation_digest


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
        assert f"| {name.replace('_', ' ')} |" in text


def test_the_report_says_what_the_tables_say(found):
    best = pd.DataFrame({"AUC at 5 years": [0.68912], "error": [0.001], "n": [60000]}, index=["grade alone"])
    text = as_markdown(found, best=best, studies=4, patients=2_000, seed=5)
    mean = found.loc["fnclcc_grade", "mean"]
    assert f"| fnclcc grade | {mean:.3f} |" in text
    assert "| grade alone | 0.6891 | 0.0010 | 60,000 |" in text
    assert "grade 7" in text.split("## Two readers")[1].split("(75%)")[0]


def test_the_same_seed_gives_the_same_studies(found):
    assert report(5, studies=4).equals(found)
