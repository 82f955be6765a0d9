"""The statistical analysis plan says what profiles and code do, and its sample sizes are those of the published criteria."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sarcnet.compendium.params import read_profile
from sarcnet.evaluation.comparators.cox import NOMOGRAM
from sarcnet.evaluation.subgroups.heterogeneity import levels
from sarcnet.evaluation.tables.text import PRIMARY, SECOND
from studies import sample_size
from virtual_cohort.cohort import simulate_cohort

ROOT = Path(__file__).resolve().parents[2]
PLAN = (ROOT / "docs" / "statistical-analysis-plan.md").read_text(encoding="utf-8")
STUDY = read_profile(ROOT / "papermill_params" / "demo.yaml") | read_profile(ROOT / "papermill_params" / "study.yaml")


def row(order: str) -> str:
    (line,) = (line for line in PLAN.splitlines() if line.startswith(f"| {order}"))
    return line


def test_primary_comparison_and_second_are_those_of_the_code():
    assert re.findall(r"`(sarc\w+)`", row("1")) == list(PRIMARY)
    assert re.findall(r"`(sarc\w+)`|the (same) model", row("2"))[-1][0] == SECOND[1]
    assert SECOND[0] == PRIMARY[0]
    names = {"size_mm": "size", "fnclcc_grade": "FNCLCC grade", "histotype": "histotype"}
    assert all(names[variable] in row("1") for variable in NOMOGRAM)
    assert len(NOMOGRAM) == 3


def test_margin_is_that_of_the_profiles_and_half_of_the_published_gain():
    margin = STUDY["noninferiority_margin_auc"]
    assert f"above −{margin:g} AUC" in row("2")
    assert f"**Margin.** {margin:g} AUC" in PLAN
    assert margin <= (sample_size.AUC["SarcNet"] - sample_size.AUC["Sarculator"]) / 2 + 1e-12


def test_settings_named_in_the_plan_are_the_profiles():
    assert f"{STUDY['folds']} folds × {STUDY['repeats']} repeats" in PLAN
    assert f"{STUDY['bootstrap_samples']:,} resamples" in PLAN
    assert f"at {STUDY['horizon_months']:g} months" in PLAN
    assert f"`outcome: {STUDY['outcome']}`" in PLAN
    *first, last = STUDY["treatment_thresholds"]
    assert f"thresholds {', '.join(map(str, first))} and {last}" in PLAN
    assert STUDY["patients_training"] == [221, 390]
    assert sum(STUDY["patients_training"]) == sample_size.TRAINING.patients
    assert " + ".join(map(str, STUDY["patients_validation"])) + " later patients" in PLAN
    assert sum(STUDY["patients_validation"]) == sample_size.VALIDATION.patients


def test_subgroups_named_in_the_plan_are_those_that_are_judged():
    (line,) = (line for line in PLAN.splitlines() if line.startswith("- **Subgroups**"))
    table = simulate_cohort(5, counts={"CLB": {"training": 20}})["CLB"].table.assign(centre="CLB")
    for name in levels(table):
        assert name in line, name


def test_tables_in_the_plan_are_computed():
    inside = PLAN.split("<!-- sample size -->")[1].split("<!-- /sample size -->")[0].strip()
    assert inside == sample_size.as_markdown(margin=STUDY["noninferiority_margin_auc"])


def test_criteria_give_the_numbers_of_the_authors_program():
    """pmsampsize(type = "s", rsquared, parameters = 25, rate = 0.065, timepoint = 2, meanfup = 2.07), from its own tests."""
    example = sample_size.Expected(patients=10_000, events=1346, years=20_700, cases=0, lost=0, risk=0)
    assert sample_size.for_shrinkage(25, r2=0.051) == 4286
    assert sample_size.for_shrinkage(25, r2=0.065) == 3335
    assert (
        sample_size.for_optimism(
            25, r2=0.051, largest=sample_size.largest_r2(events=example.events, patients=example.patients)
        )
        == 866
    )
    assert (
        sample_size.for_optimism(
            25, r2=0.065, largest=sample_size.largest_r2(events=example.events, patients=example.patients)
        )
        == 859
    )


def test_precision_formulae_hold_in_simulated_series():
    rng = np.random.default_rng(3)
    n, draws = 400, 1500
    logit = rng.normal(*sample_size.LOGIT_RISK, (draws, n))
    case = rng.random((draws, n)) < 1 / (1 + np.exp(-logit))
    spread = np.std(np.log(case.mean(axis=1)))
    assert sample_size.log_oe_error(n, risk=case.mean()) == pytest.approx(spread, rel=0.1)
    aucs = []
    for score, event in zip(logit, case, strict=True):
        ranks = np.argsort(np.argsort(score)) + 1
        cases = event.sum()
        aucs.append((ranks[event].sum() - cases * (cases + 1) / 2) / (cases * (n - cases)))
    expected = sample_size.auc_error(np.mean(aucs), cases=case.mean() * n, controls=(1 - case.mean()) * n)
    assert expected == pytest.approx(np.std(aucs), rel=0.1)
    slopes = [slope(score, event) for score, event in zip(logit[:400], case[:400], strict=True)]
    assert sample_size.slope_error(n, logit=sample_size.LOGIT_RISK) == pytest.approx(np.std(slopes), rel=0.12)


def slope(score: np.ndarray, event: np.ndarray) -> float:
    """Slope of a logistic regression, by Newton's method."""
    design, beta = np.column_stack([np.ones_like(score), score]), np.array([0.0, 1.0])
    for _ in range(12):
        p = 1 / (1 + np.exp(-design @ beta))
        beta = beta + np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design, design.T @ (event - p))
    return float(beta[1])


def test_expected_numbers_are_those_of_the_simulation():
    counts = {"CLB": {"training": 221, "validation": 93}, "IB": {"training": 390, "validation": 124}}
    studies = [simulate_cohort(seed, counts=counts) for seed in range(7001, 7007)]
    for series, expected in (("training", sample_size.TRAINING), ("validation", sample_size.VALIDATION)):
        tables = [one.table[one.table["series"] == series] for study in studies for one in study.values()]
        events = sum((table["mfs_event"] == 1).sum() for table in tables) / len(studies)
        years = sum(table["mfs_months"].sum() for table in tables) / 12 / len(studies)
        assert events == pytest.approx(expected.events, rel=0.12)
        assert years == pytest.approx(expected.years, rel=0.06)
    treated = np.mean([(one.table["chemotherapy"] != "none").mean() for study in studies for one in study.values()])
    (said,) = re.findall(r"about (\d+) % of the simulated patients have chemotherapy", PLAN)
    assert treated == pytest.approx(int(said) / 100, abs=0.03)
