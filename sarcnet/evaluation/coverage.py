"""Do intervals hold the truth as often as they say? Many virtual studies, in which the truth is known.

Run ``python -m sarcnet.evaluation.coverage``. Each study draws the published training series anew (CLB 221, IB 390)
and computes intervals, by every method, of the AUC at 5 years of two fixed scores and of their difference: the FNCLCC
grade, and a Cox model on the Sarculator's variables that was fitted once on other patients. Their true AUCs are taken
over very many patients with their true risks (:func:`sarcnet.virtual.information.expected_auc`). A third quantity is
the cross-validated Cox model, refitted on the folds of each study: its truth is the mean true AUC of the very models
that were fitted, which is what an interval "for the models at hand" must hold.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from sarcnet.compendium.files import write_json
from sarcnet.compendium.plain import plain
from sarcnet.compendium.seeds import rng, sequence
from sarcnet.evaluation import comparators
from sarcnet.evaluation.auc import Followup
from sarcnet.evaluation.bootstrap import Estimate, Method, Resampled, resample_auc
from sarcnet.evaluation.delong import delong
from sarcnet.evaluation.studies import HORIZON_MONTHS, SIZES
from sarcnet.model.crossval import make_folds
from sarcnet.virtual.calibration import mass_patients
from sarcnet.virtual.cohort import simulate_cohort
from sarcnet.virtual.information import expected_auc

GRADE, COX, GAP, CROSSED = "FNCLCC grade", "fixed Cox model", "their difference", "cross-validated Cox model"
BY_CENTRE, STRATIFIED, BCA = "percentile, by centre", "percentile, by centre and event", "BCa, by centre and event"
JACKKNIFE, DELONG = "normal, influence by leaving out", "normal, DeLong with weights"
FOLDS, LEVEL = 4, 0.95
WANTED = (0.93, 0.97)


@dataclass(frozen=True)
class World:
    """Very many patients as a model sees them, their true risks (n,), and the patients of the fixed Cox model."""

    table: pd.DataFrame
    risk: np.ndarray
    taught: pd.DataFrame

    def auc(self, score: np.ndarray) -> float:
        """True AUC of a score (n,)."""
        return expected_auc(score, risk=self.risk)


def world(seed: int, *, patients: int) -> World:
    """Very many patients, and 611 others to fit the fixed model on."""
    mass = mass_patients(n=patients, seed=seed)
    return World(
        _readable(mass.table), mass.truth["risk_5y_true"].to_numpy(), study(seed, "the fixed model's patients")
    )


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(size_mm=table["size_mm"].astype(float))


def study(seed: int, *names: str | int) -> pd.DataFrame:
    """One simulated training series of 611 patients."""
    own = int(sequence(seed, "coverage", *names).generate_state(1)[0])
    cohort = simulate_cohort(own, counts=SIZES)
    return _readable(pd.concat([part.table.assign(centre=name) for name, part in cohort.items()], ignore_index=True))


def truths(known: World) -> dict[str, float]:
    """True AUCs of the fixed scores and of their difference."""
    grade = known.auc(comparators.grade_score(known.taught, known.table))
    cox = known.auc(comparators.cox_risk(known.taught, known.table, horizon_months=HORIZON_MONTHS))
    return {GRADE: grade, COX: cox, GAP: cox - grade}


def crossed(table: pd.DataFrame, known: World, *, seed: int) -> tuple[np.ndarray, float]:
    """Out-of-fold risks (n, 1) of the Cox model, and the mean true AUC of its folds' models."""
    folds = make_folds(table, folds=FOLDS, repeats=1, seed=seed)
    risk, found = np.full((len(table), 1), np.nan), []
    for _, rows in folds.groupby("fold"):
        held = table["patient_id"].isin(rows["patient_id"]).to_numpy()
        fitted = [
            comparators.cox_risk(table[~held], new, horizon_months=HORIZON_MONTHS) for new in (table[held], known.table)
        ]
        risk[held, 0] = fitted[0]
        found.append(known.auc(fitted[1]))
    return risk, float(np.mean(found))


def _normal(resampled: Resampled, model: str, other: str | None) -> Estimate:
    influence = resampled.influence(model) - (resampled.influence(other) if other else 0)
    value = resampled.point[model] - (resampled.point[other] if other else 0)
    width = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt((influence**2).sum()))
    return Estimate(value, value - width, value + width)


def intervals(
    risks: dict[str, np.ndarray], followup: Followup, *, samples: int, generator: np.random.Generator
) -> dict[tuple[str, str], Estimate]:
    """The interval of each quantity by each method."""
    plain_one, both = (
        resample_auc(
            risks,
            followup,
            horizon_months=HORIZON_MONTHS,
            samples=samples,
            level=LEVEL,
            rng=generator,
            strata=strata,
        )
        for strata in (followup.centre, None)
    )
    methods: tuple[tuple[str, Resampled, Method], ...] = (
        (BY_CENTRE, plain_one, "percentile"),
        (STRATIFIED, both, "percentile"),
        (BCA, both, "bca"),
    )
    found: dict[tuple[str, str], Estimate] = {}
    for quantity, model, other in ((GRADE, GRADE, None), (COX, COX, None), (GAP, COX, GRADE), (CROSSED, CROSSED, None)):
        if model not in risks:
            continue
        for name, made, method in methods:
            found[quantity, name] = (
                made.difference(model, other, method=method) if other else made.estimate(model, method=method)
            )
        found[quantity, JACKKNIFE] = _normal(both, model, other)
        second = risks[other][:, 0] if other else None
        found[quantity, DELONG] = delong(
            risks[model][:, 0], followup, horizon_months=HORIZON_MONTHS, level=LEVEL, other=second
        )
    return found


def coverage(seed: int, *, studies: int, samples: int, patients: int, refit: bool = True) -> pd.DataFrame:
    """Share of studies whose interval holds the truth.

    Args:
        studies: virtual studies of 611 patients.
        samples: resamples in each.
        patients: patients over whom the true AUCs are taken.
        refit: also the cross-validated model, which takes longest.

    Returns: One row a quantity and method: coverage, error (of the coverage, from the number of studies), below,
    above (share of studies whose interval lies wholly below or above the truth), width (mean).
    """
    known = world(seed, patients=patients)
    fixed, rows = truths(known), []
    for number in range(studies):
        table = study(seed, number)
        followup = Followup(
            table["mfs_months"].to_numpy(float), table["mfs_event"].to_numpy(int), table["centre"].to_numpy(str)
        )
        risks = {
            GRADE: comparators.grade_score(known.taught, table)[:, None],
            COX: comparators.cox_risk(known.taught, table, horizon_months=HORIZON_MONTHS)[:, None],
        }
        true = dict(fixed)
        if refit:
            risks[CROSSED], true[CROSSED] = crossed(table, known, seed=number)
        found = intervals(risks, followup, samples=samples, generator=rng(seed, "coverage", "resamples", number))
        rows += [
            (*key, gap.high < true[key[0]], gap.low > true[key[0]], gap.high - gap.low) for key, gap in found.items()
        ]
    each = pd.DataFrame(rows, columns=["quantity", "method", "below", "above", "width"])
    summary = each.groupby(["quantity", "method"], sort=False).mean()
    covered = 1 - summary["below"] - summary["above"]
    summary.insert(0, "coverage", covered)
    summary.insert(1, "error", np.sqrt(covered * (1 - covered) / studies))
    return summary


def main() -> int:
    """Print the table; exit code 1 when a bootstrap interval's coverage misses what was wanted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=20_000, help="patients over whom true AUCs are taken")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--fixed-only", action="store_true", help="leave out the cross-validated model")
    parser.add_argument("--json", type=Path, help="file to write the table to")
    given = parser.parse_args()
    found = coverage(
        given.seed, studies=given.studies, samples=given.samples, patients=given.patients, refit=not given.fixed_only
    )
    print(
        f"{given.studies} virtual studies of 611 patients, nominal {LEVEL:.0%}\n{found.to_string(float_format='%.3f')}"
    )
    if given.json:
        write_json(given.json, plain({"rows": found.reset_index().to_dict("records"), "studies": given.studies}))
    outside = found[~found["coverage"].round(9).between(*WANTED)]
    for (quantity, method), row in outside.iterrows():
        print(f"{quantity}, {method}: {row['coverage']:.3f}, wanted {WANTED[0]} to {WANTED[1]}.")
    return 1 if len(outside) else 0


if __name__ == "__main__":
    raise SystemExit(main())
