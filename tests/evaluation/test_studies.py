"""Many simulated studies: figures lie where they must, and a missed goal is said."""

from __future__ import annotations

import pytest

from sarcnet.evaluation.studies import GOALS, missed, report


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


def test_the_same_seed_gives_the_same_studies(found):
    assert report(5, studies=4).equals(found)
