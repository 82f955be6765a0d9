"""Is the virtual cohort as hard as the real one? Many simulated studies, each judged as notebook 05 judges one.

Run ``python -m studies.cohort_calibration``. Each study draws the published training series anew (CLB 221, IB 390;
patients and outcomes, no slides) and computes what notebook 05 computes: the cross-validated AUC at 5 years, weighted
for censoring, of the FNCLCC grade, of the Cox model refitted on the variables of the Sarculator's metastasis
nomogram, and of the oracle. The targets for the first two are the intervals of the abstract (Scientific Reports, 21
October 2025). SarcNet's own result is no input. ``make calibration`` writes the report to docs/calibration.md; a test
tells when the code that made it was changed since.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sarcnet.compendium.cache_keys import code_key
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.compendium.jsonable import to_jsonable
from sarcnet.compendium.seeds import sequence
from sarcnet.evaluation.comparators import cox as comparators
from sarcnet.evaluation.metrics.auc import auc
from sarcnet.evaluation.predictions import evaluation_set
from sarcnet.evaluation.tables.text import PAPER
from sarcnet.model.crossval import make_folds
from sarcnet.model.names.words import label
from studies.real_patients import NO_SIZE, RECORD, concordances, course, real_record, without_size
from virtual_cohort.experiments.headroom.share import ORACLE, oracle_risks
from virtual_cohort.patients import calibration, outcome
from virtual_cohort.patients.calibration import TARGETS, mass_patients
from virtual_cohort.patients.information import best_auc_by_source
from virtual_cohort.simulated import simulate_cohort

SIZES = {"CLB": {"training": 221}, "IB": {"training": 390}}
HORIZON_MONTHS = 60.0
FOLDS = 4
HEADROOM = "headroom"  # oracle minus clinical model
NAMES = {
    NO_SIZE: "Cox, grade + histotype",
    HEADROOM: "headroom: oracle minus Sarculator's variables",
    "free_of_metastasis_5y": "5-year freedom from metastasis (Kaplan–Meier)",
}
GOALS = {  # lowest and highest value of the mean over studies
    comparators.FNCLCC: (PAPER[comparators.FNCLCC].low, PAPER[comparators.FNCLCC].high),
    comparators.SARCULATOR_VARIABLES: (
        PAPER[comparators.SARCULATOR_VARIABLES].low,
        PAPER[comparators.SARCULATOR_VARIABLES].high,
    ),
    HEADROOM: TARGETS["headroom"],
    "free_of_metastasis_5y": TARGETS["free_of_metastasis_5y"],
    # TCGA limb and trunk: 4.8, 9.0 and 16.1 months; quartiles of its 72 times scatter by about a third.
    "months_to_metastasis_q25": (3.2, 6.4),
    "months_to_metastasis_q50": (6.0, 12.0),
    "months_to_metastasis_q75": (11.0, 21.0),
    "grade_1": (0.03, 0.08),
    "grade_2": (0.32, 0.42),
    "grade_3": TARGETS["grade_3"],
    "UPS": (0.45, 0.55),
    "leiomyosarcoma": (0.18, 0.26),
    "myxofibrosarcoma": (0.14, 0.22),
    "MPNST": (0.03, 0.07),
}
CODE = ("studies.cohort_calibration",)  # what makes the report, with all that it imports
REPORT = """# Calibration of the virtual cohort

Written by `make calibration` (`python -m studies.cohort_calibration`); do not edit. Everything here is **simulated** but
the column *TCGA, real*. The coefficients were set so that the comparators are as good as published and the course of the
disease is as described; what SarcNet reaches on these patients was never an input.

## {studies} simulated studies of 611 patients

Each is judged as notebook 05 judges a cohort: cross-validated AUC at 5 years, weighted for censoring. A goal is the
interval that the mean over the studies must lie in: for the two AUCs the interval in the abstract of the paper, for the
rest what the series named in `virtual_cohort/patients/simulate.py` and `studies/cohort_calibration.py` leave open.

{found}

{gaps}

The real patients are {real[patients]} of TCGA-SARC ({real[metastases]} metastases; {real[deaths]} deaths of disease
without one, which compete), from the table of QuantitativeBiology/Sarcoma-TC-Clusters on GitHub. It has no sizes, so their
clinical model has grade and histotype only; the simulated row of that name is fitted on the same two. Three things keep
this from being a test of the simulator: how metastases were looked for in TCGA is not documented; {real[others]} of the
{real[patients]} patients have a histotype outside this study; and deaths of other causes are not in the table. With deaths
of disease censored instead of competing, Harrell's C of the grade is {real[censored][fnclcc_grade_c]:.3f} and that of the
clinical model {real[censored][grade_and_histotype_c]:.3f}. The virtual cohort was set to the published intervals of the
study's own hospitals, not to TCGA: an AUC found on it does not say how well a model would do elsewhere.

## What each source could tell at best

The expected true risk, given what is seen, is the best score there is. Its AUC at 5 years by simulation of {patients}
patients, half of them judged; *error* is the standard error of the simulation.

{best}

## Two readers of the same tumour

Share of {patients} tumours that two simulated pathologists score alike; in brackets the agreement of 15 pathologists
with a panel on 25 sarcomas (Coindre et al., Cancer 1986;58:306-9).

{agreed}

## Coefficients

Log hazard ratios in `virtual_cohort/patients/outcome.py`: {coefficients}.

Simulation `{digest}`.
"""
PUBLISHED_AGREEMENT = {"differentiation": 0.74, "mitoses": 0.73, "necrosis": 0.81, "grade": 0.75}


def simulated_study(seed: int) -> dict[str, float]:
    """Figures of one study: AUCs, headroom, months to metastasis (quartiles), freedom from metastasis at
    5 years (deaths censored), shares of grades and types."""
    cohort = simulate_cohort(seed, counts=SIZES)
    table = pd.concat([part.table.assign(centre=name) for name, part in cohort.items()], ignore_index=True)
    table["size_mm"] = table["size_mm"].astype(float)  # as read_cohort gives it
    truth = pd.concat([part.truth for part in cohort.values()], ignore_index=True)
    folds = make_folds(table, folds=FOLDS, repeats=1, seed=seed)
    risks = comparators.out_of_fold(table, folds, horizon_months=HORIZON_MONTHS, seed=seed)
    risks = pd.concat([risks, oracle_risks(truth, table).assign(repeat=0)], ignore_index=True)
    study = evaluation_set("simulated", table, risks)
    found = {
        model: auc(risk[:, 0], study.followup, horizon_months=HORIZON_MONTHS) for model, risk in study.risks.items()
    }
    bare = without_size(table, folds, horizon_months=HORIZON_MONTHS, seed=seed)
    found[NO_SIZE] = auc(bare[:, 0], study.followup, horizon_months=HORIZON_MONTHS)
    of_both = {comparators.FNCLCC: study.risks[comparators.FNCLCC], NO_SIZE: bare}
    found |= concordances(of_both, study.followup, horizon_months=HORIZON_MONTHS)
    found[HEADROOM] = found[ORACLE] - found[comparators.SARCULATOR_VARIABLES]
    found |= course(table, study.followup, horizon_months=HORIZON_MONTHS)
    return found | {str(name): float(share) for name, share in table["histotype"].value_counts(normalize=True).items()}


def report(seed: int, *, studies: int) -> pd.DataFrame:
    """One row a figure: mean over the studies, 2.5 and 97.5 % of them, goal (low, high; NaN for none), share inside."""
    seeds = sequence(seed, "simulated studies").generate_state(studies)
    each = pd.DataFrame([simulated_study(int(own)) for own in seeds]).fillna(0.0)  # a rare histotype may be absent
    rows = {}
    for name, values in each.items():
        low, high = GOALS.get(str(name), (np.nan, np.nan))
        inside = values.between(low, high).mean() if str(name) in GOALS else np.nan
        rows[name] = (values.mean(), values.quantile(0.025), values.quantile(0.975), low, high, inside)
    columns = ["mean", "2.5 %", "97.5 %", "goal, low", "goal, high", "share inside"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def missed(found: pd.DataFrame) -> list[str]:
    """A sentence for each figure whose mean misses its goal."""
    rows = found.dropna(subset=["goal, low"])
    outside = rows[~rows["mean"].between(rows["goal, low"], rows["goal, high"])]
    return [
        f"{name} is {row['mean']:.3f} on average, goal {row['goal, low']:g} to {row['goal, high']:g}."
        for name, row in outside.iterrows()
    ]


def simulation_digest() -> str:
    """Digest of the code that makes patients and outcomes and judges them: a report made by other code is stale."""
    return code_key(*CODE)[:16]


def gap_sentences(found: pd.DataFrame, real: dict[str, Any]) -> list[str]:
    """How the AUCs of the real patients stand to the simulated ones: below, above, or compatible with them."""
    said = []
    for model, (low, high) in real["intervals"].items():
        value, mean = real["figures"][model], found.loc[model, "mean"]
        verdict = (
            "so these patients are harder to tell apart than simulated ones"
            if high < mean
            else "so these patients are easier to tell apart than simulated ones"
            if low > mean
            else "so the two do not contradict each other"
        )
        said.append(
            f"{name_of(model)}: AUC {value:.3f} ({low:.3f} to {high:.3f}) in TCGA, {mean:.3f} in the simulation, {verdict}."
        )
    return said


def name_of(row: str) -> str:
    """What a row of the report is called."""
    if row.endswith("_c"):
        return f"{name_of(row.removesuffix('_c'))}, Harrell's C"
    return NAMES.get(row, label(row)).replace("_", " ")


def as_markdown(
    found: pd.DataFrame, *, best: pd.DataFrame, real: dict[str, Any], studies: int, patients: int, seed: int
) -> str:
    """The report in docs/calibration.md; `real` as :func:`studies.real_patients.real_record` gives it."""
    agreed = calibration.reading_agreement(n=patients, seed=seed)
    spoken = [f"{name} {share:.0%} ({PUBLISHED_AGREEMENT[name]:.0%})" for name, share in agreed.items()]
    return REPORT.format(
        studies=studies,
        patients=f"{patients:,}",
        found=_table(found.assign(**{"TCGA, real": pd.Series(real["figures"])}).rename(index=name_of), form="{:.3f}"),
        gaps="\n".join(f"- {sentence}" for sentence in gap_sentences(found, real)),
        real=real,
        best=_table(best.assign(n=best["n"].map("{:,.0f}".format)), form="{:.4f}"),
        agreed=", ".join(spoken) + ".",
        coefficients=", ".join(f"{name} {value:+.2f}" for name, value in outcome.LOG_HR.items()),
        digest=simulation_digest(),
    )


def _table(table: pd.DataFrame, *, form: str) -> str:
    """A Markdown table, index first; what is not a number as it is, what is missing empty."""
    rows = [["", *map(str, table.columns)], ["---"] * (1 + table.shape[1])]
    for name, values in table.iterrows():
        cells = [value if isinstance(value, str) else "" if pd.isna(value) else form.format(value) for value in values]
        rows.append([str(name).replace("_", " "), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """Print both tables; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=50, help="simulated studies of 611 patients")
    parser.add_argument("--patients", type=int, default=120_000, help="patients for what could be known at best")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--json", type=Path, help="file to write both tables to")
    parser.add_argument("--report", type=Path, help="Markdown file to write the report to")
    parser.add_argument("--tcga", type=Path, help="table of 206 real patients; without it, what is on record of them")
    given = parser.parse_args()
    if given.tcga:
        write_json(RECORD, to_jsonable(real_record(given.tcga, horizon_months=HORIZON_MONTHS, seed=given.seed)))
    found = report(given.seed, studies=given.studies)
    best = best_auc_by_source(mass_patients(n=given.patients, seed=given.seed), seed=given.seed)
    print(f"{given.studies} simulated studies of 611 patients\n{found.to_string(na_rep='', float_format='%.3f')}\n")
    print(f"Best possible, {given.patients} patients\n{best.to_string(float_format='%.4f')}\n")
    if given.json:
        write_json(given.json, to_jsonable({"studies": found.to_dict("index"), "information": best.to_dict("index")}))
    if given.report:
        real = json.loads(RECORD.read_text(encoding="utf-8"))
        text = as_markdown(found, best=best, real=real, studies=given.studies, patients=given.patients, seed=given.seed)
        with atomic_path(given.report) as part:
            part.write_text(text, encoding="utf-8")
    faults = missed(found)
    print("\n".join(faults) or "All goals are met.")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
