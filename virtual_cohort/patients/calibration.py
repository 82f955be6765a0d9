"""Is the virtual cohort as hard as the real one? Grade and clinical model against the published intervals.

Run ``python -m virtual_cohort.patients.calibration``. The coefficients of `virtual_cohort.patients.outcome` were set
by this report
on very many simulated patients (no slides). The image model's own result is never looked at here.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.stats import rankdata

from sarcnet.cohort.endpoint import METASTASIS, Endpoint
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.patients.pathology import pathology
from virtual_cohort.patients.random_numbers import mass_draws
from virtual_cohort.patients.simulate import VirtualPatients, drawn_category, simulate
from virtual_cohort.patients.simulated_grading import agreement

SHARES = {"CLB": 221 / 611, "IB": 390 / 611}  # of the published training series
TARGETS = {  # published intervals and ranges
    "auc_fnclcc_grade": (0.670, 0.743),
    "auc_sarculator_variables": (0.743, 0.814),
    "free_of_metastasis_5y": (0.50, 0.65),
    "headroom": (0.05, 1.0),
    "grade_3": (0.50, 0.66),
    "chemotherapy": (0.16, 0.30),
    "radiotherapy": (0.55, 0.65),
    "agreement_grade": (0.70, 0.80),  # of two readers; 0.75 in Coindre et al., Cancer 1986
}
WORDS = {
    "auc_fnclcc_grade": "AUC at 5 years: FNCLCC grade",
    "auc_sarculator_variables": "AUC at 5 years: Cox, size + grade + histotype",
    "free_of_metastasis_5y": "free of metastasis at 5 years (share)",
    "headroom": "AUC of the oracle minus that of the Cox model",
    "grade_3": "grade 3 (share)",
    "chemotherapy": "chemotherapy (share)",
    "radiotherapy": "radiotherapy (share)",
    "agreement_grade": "two pathologists agree on the grade (share)",
    "auc_oracle": "AUC at 5 years: oracle (true risk)",
}


def mass_patients(*, n: int, seed: int) -> VirtualPatients:
    """About n patients of the training series, centres in the published proportion.

    Args:
        n: their number.
        seed: root of all randomness.

    Returns:
        Tables and truth, aligned.
    """
    parts = []
    for name, share in SHARES.items():
        count = round(n * share)
        draws = mass_draws(rng(seed, "calibration", name), n=count)
        ids = [f"{name}-{k}" for k in range(count)]
        parts.append(simulate(draws, centre=CENTRES[name], series="training", patient_ids=ids))
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return VirtualPatients(table, pd.concat([part.truth for part in parts], ignore_index=True))


def auc(case: np.ndarray, *, score: np.ndarray) -> float:
    """Probability that a case scores higher than a control, ties counted half (Mann-Whitney)."""
    ranks, cases = rankdata(score), int(case.sum())
    return float((ranks[case].sum() - cases * (cases + 1) / 2) / (cases * (len(case) - cases)))


def clinical_design(patients: pd.DataFrame) -> pd.DataFrame:
    """Columns of a Cox model on the variables of the Sarculator's metastasis nomogram: √size, grade, histotype."""
    size = patients["size_mm"].astype(float)
    grade = patients["fnclcc_grade"].astype(float)
    design = pd.DataFrame(
        {
            "sqrt_size": np.sqrt(size.fillna(size.median()) / 10),
            "grade_1": (grade == 1).astype(float),
            "grade_3": (grade == 3).astype(float),
        }
    )
    for histotype in ("leiomyosarcoma", "myxofibrosarcoma", "MPNST"):
        design[histotype] = (patients["histotype"] == histotype).astype(float)
    design["pleomorphic"] = patients["histotype"].str.startswith("pleomorphic").astype(float)
    return design


def reading_agreement(*, n: int, seed: int) -> pd.Series:
    """How often two simulated pathologists give n tumours the same scores; see :func:`observer.agreement`."""
    first, second = (mass_draws(rng(seed, "calibration", "reading", str(k)), n=n) for k in (1, 2))
    histotype = drawn_category(first.uniform["histotype"], shares=CENTRES["IB"].mix.histotypes)
    return agreement(first, again=second, pathology=pathology(first, histotype=histotype), histotype=histotype)


def calibration_report(n: int, seed: int, *, endpoint: Endpoint = METASTASIS) -> dict[str, Any]:
    """Figures of a cohort of n virtual patients, beside their targets.

    AUCs are at 5 years on the true times, before follow-up ends: metastasis by 5 years against none by then; who dies
    first without metastasis is a control, or a case where the endpoint counts death. The Cox model is fitted on one half,
    as the registry sees it (censored), and judged on the other.

    Args:
        n: number of patients.
        seed: root of all randomness.
        endpoint: the event.

    Returns:
        Name of a figure -> value; :data:`WORDS` says what the names mean.
    """
    cohort = mass_patients(n=n, seed=seed)
    table, truth = cohort.table, cohort.truth
    metastasis, death = truth["metastasis_years"].to_numpy(), truth["death_years"].to_numpy()
    case = (np.minimum(metastasis, death) <= 5) & ((metastasis < death) | endpoint.death_is_event)
    train = rng(seed, "calibration", "halves").random(len(table)) < 0.5
    design = clinical_design(table)
    outcome = {"months": table["mfs_months"], "event": (endpoint.code(table)["mfs_event"] == 1).astype(int)}
    cox = CoxPHFitter().fit(design[train].assign(**{k: v[train] for k, v in outcome.items()}), "months", "event")
    clinical = cox.predict_log_partial_hazard(design[~train]).to_numpy()
    sure = KaplanMeierFitter().fit(table["mfs_months"], table["mfs_event"] == 1)
    either = KaplanMeierFitter().fit(table["mfs_months"], table["mfs_event"] > 0)
    auc_clinical = auc(case[~train], score=clinical)
    auc_oracle = auc(case[~train], score=truth[endpoint.true_risk].to_numpy()[~train])
    early = metastasis[(metastasis <= 5) & (metastasis < death)]
    agreed = reading_agreement(n=n, seed=seed)
    return {
        "patients": len(table),
        "auc_fnclcc_grade": auc(case, score=table["fnclcc_grade"].to_numpy(float)),
        "auc_sarculator_variables": auc_clinical,
        "auc_oracle": auc_oracle,
        "headroom": auc_oracle - auc_clinical,
        "free_of_metastasis_5y": float(sure.predict(60.0)),
        "mfs_5y": float(either.predict(60.0)),
        "metastasis_quartiles_years": [float(q) for q in np.quantile(early, (0.25, 0.5, 0.75))],
        **{f"agreement_{score}": float(share) for score, share in agreed.items()},
        **{f"grade_{g}": float((table["fnclcc_grade"] == g).mean()) for g in (1, 2, 3)},
        "chemotherapy": float((table["chemotherapy"] != "none").mean()),
        "radiotherapy": float((table["radiotherapy"] != "none").mean()),
        "deep": float((table["depth"] == "deep").mean()),
        "male": float((table["sex"] == "male").mean()),
        "age_quartiles": [float(q) for q in table["age_years"].quantile([0.25, 0.5, 0.75])],
        "size_quartiles_mm": [float(q) for q in table["size_mm"].astype(float).quantile([0.25, 0.5, 0.75])],
        "sd_linear_predictor": float(truth["linear_predictor"].std()),
        "cox": {k: float(v) for k, v in cox.params_.items()},
    }


def faults_of(report: dict[str, Any]) -> list[str]:
    """Which figures of a report miss their target, in sentences."""
    return [
        f"{name} is {report[name]:.3f}, target {low:g} to {high:g}"
        for name, (low, high) in TARGETS.items()
        if not low <= report[name] <= high
    ]


def calibration_table(report: dict[str, Any]) -> pd.DataFrame:
    """The figures that have a target, in words, with it.

    Args:
        report: as of :func:`calibration_report`.

    Returns:
        Columns simulated, target low and target high.
    """
    rows = {WORDS[name]: (report[name], *bounds) for name, bounds in TARGETS.items()}
    rows[WORDS["auc_oracle"]] = (report["auc_oracle"], np.nan, np.nan)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["simulated", "target, low", "target, high"])


def main() -> int:
    """Print the report; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=2025)
    arguments = parser.parse_args()
    report = calibration_report(arguments.patients, arguments.seed)
    for name, value in report.items():
        target = "   target {:g} to {:g}".format(*TARGETS[name]) if name in TARGETS else ""
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        if isinstance(value, list):
            shown = " / ".join(f"{x:.2f}" for x in value)
        if isinstance(value, dict):
            shown = ", ".join(f"{k} {v:+.2f}" for k, v in value.items())
        print(f"{name:28s} {shown}{target}")
    missed = faults_of(report)
    print("\n".join(missed) or "All targets are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
