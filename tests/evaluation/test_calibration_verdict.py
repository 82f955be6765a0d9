"""What is said of a calibration follows from its intervals: every sentence is made to come out either way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.calibration.by_series import (
    agreement,
    agreement_table,
    agreements,
    change,
    deviations,
    verdict,
)
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.bootstrap import Estimate
from sarcnet.evaluation.predictions import EvaluationSet

SETTING = {"horizon_months": 60.0, "level": 0.95}
NAME = "sarcnet_fedavg"


def followed(risk: np.ndarray, *, seed: int) -> pd.DataFrame:
    """Patients whose metastasis by 60 months comes with just this probability, some lost, some dead before."""
    rng = np.random.default_rng(seed)
    months = 60 * np.log(rng.random(len(risk))) / np.log1p(-risk)  # exponential, with this risk at 60 months
    lost = rng.uniform(30, 150, len(risk))
    return pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(len(risk))],
            "centre": np.where(np.arange(len(risk)) % 2, "IB", "CLB"),
            "mfs_months": np.minimum(months, lost),
            "mfs_event": (months <= lost).astype(int),
        }
    )


def series(predict, *, n: int = 600, seed: int = 1, name: str = "validation") -> EvaluationSet:
    risk = np.random.default_rng(seed).uniform(0.05, 0.9, n)
    return EvaluationSet(name, followed(risk, seed=seed + 1), {NAME: predict(risk)[:, None]})


def cloglog(a: float, b: float):
    return lambda risk: -np.expm1(-np.exp(a + b * np.log(-np.log1p(-risk))))


SAID = {
    "true": (cloglog(0, 1), []),
    "too high": (cloglog(0.7, 1), ["**overestimates**"]),
    "too low": (cloglog(-0.7, 1), ["**underestimates**"]),
    "timid": (cloglog(0, 0.5), ["**too timid**"]),
    "extreme": (cloglog(0, 2), ["**too extreme**"]),
    "timid and too high": (cloglog(0.6, 0.5), ["**overestimates**", "**too timid**"]),
}


@pytest.mark.parametrize("case", SAID)
def test_the_verdict_says_what_the_intervals_say(case):
    predict, words = SAID[case]
    said = verdict(agreement(series(predict), NAME, **SETTING))
    every = {word for _, found in SAID.values() for word in found}
    assert {word for word in every if word in said} >= set(words), said
    if case == "true":
        assert not any(word in said for word in every)
        assert said.count("no deviation from 1 shown with 600 patients, which leaves") == 2
    else:
        assert said.count("no deviation") < 2
    assert "well calibrated" not in said


def test_few_patients_show_nothing_and_are_not_called_well_calibrated():
    """The same fault that 600 patients show is not shown by 45 of them; what remains possible is said."""
    small = agreement(series(cloglog(0, 0.75), n=45, seed=5), NAME, **SETTING)
    assert small.slope.low < 1 < small.slope.high
    assert "no deviation from 1 shown with 45 patients" in verdict(small)
    assert f"leaves {small.slope.low:.2f} to {small.slope.high:.2f} possible" in verdict(small)


def test_below_ten_cases_no_interval_and_no_verdict():
    few = agreement(series(cloglog(0, 1), n=12), NAME, **SETTING)
    assert "too few to judge the calibration" in verdict(few)
    assert f"{few.slope.low:.2f}" not in verdict(few)
    assert "(too few for an interval)" in agreement_table([few])["slope (1)"][0]
    enough = agreement(series(cloglog(0, 1), n=60), NAME, **SETTING)
    assert "too few" not in verdict(enough) + agreement_table([enough]).to_string()


def test_every_model_in_every_series_and_hospital_is_judged_but_the_grade():
    first, second = series(cloglog(0, 1), name="cross-validation"), series(cloglog(0.7, 1), seed=9)
    for item in (first, second):
        item.risks["image_only"] = cloglog(0, 0.5)(item.risks[NAME])
        item.risks["fnclcc_grade"] = np.ones_like(item.risks[NAME])
    log = FailureLog()
    found = agreements([part for item in (first, second) for part in item.with_centres()], log=log, **SETTING)
    assert not log.failures
    assert len(found) == 2 * 3 * 2
    table = agreement_table(found)
    assert set(table["series"]) == {
        f"{name}{end}" for name in ("cross-validation", "validation") for end in ("", ", CLB", ", IB")
    }
    assert table.loc[table["series"] == "validation, CLB", "n"].tolist() == [300, 300]
    facts = {one.series: one.verdict for one in found if one.model == NAME}
    assert "overestimates" not in facts["cross-validation"]
    assert "overestimates" in facts["validation"]


def test_equal_risks_are_named_and_the_others_judged():
    item = series(cloglog(0, 1))
    item.risks["image_only"] = np.full_like(item.risks[NAME], 0.4)
    log = FailureLog()
    assert [made.model for made in agreements([item], log=log, **SETTING)] == [NAME]
    assert "image only, pooled has 1 different risks" in log.summary_text()
    with pytest.raises(SarcnetError, match="three at least"):
        agreement(item, "image_only", **SETTING)


def test_the_summary_of_deviations_names_the_models_or_says_that_none_was_shown():
    item = series(cloglog(0, 1))
    item.risks["sarcnet_pooled"] = cloglog(0.7, 1)(item.risks[NAME])
    found = agreements([item], log=FailureLog(), **SETTING)
    assert deviations(found) == "**Validation.** Overestimates: SarcNet, pooled. No deviation shown for 1 of 2 models."
    assert deviations(found[:1]) == "**Validation.** No deviation shown for 1 of 1 models."
    few = agreements([series(cloglog(0, 1), n=12)], log=FailureLog(), **SETTING)
    assert deviations(few) == "**Validation.** Too few patients for any verdict."


def test_a_change_for_the_worse_is_called_so():
    good, bad = series(cloglog(0, 1)), series(cloglog(0.6, 0.5))
    first, second = (agreement(item, NAME, **SETTING) for item in (bad, good))
    assert change(first, second).count(", nearer to") == 3
    assert "smaller, so better" in change(first, second)
    assert change(second, first).count("not nearer to") == 3
    assert "not smaller, so no better" in change(second, first)


def test_a_bound_beside_the_ideal_value_is_not_rounded_onto_it():
    made = dataclasses.replace(agreement(series(cloglog(0, 1)), NAME, **SETTING), ratio=Estimate(1.18, 1.003, 1.38))
    assert "O/E 1.18 (1.003 to 1.38): the risks are too low" in verdict(made)
    assert "(0.85 to 1.38)" in verdict(dataclasses.replace(made, ratio=Estimate(1.18, 0.85, 1.38)))


def test_a_hospital_that_was_not_followed_to_the_horizon_is_left_out_on_both_sides():
    item = series(cloglog(0, 1), n=300)
    at = item.patients["centre"] == "CLB"
    lost = at & (item.patients["mfs_months"] > 40)
    item.patients.loc[lost, ["mfs_months", "mfs_event"]] = [40.0, 0]
    made = agreement(item, NAME, **SETTING)
    assert (made.n, made.observed) == (150, agreement(item.for_centre("IB"), NAME, **SETTING).observed)
