"""Do intervals hold the truth, and tests raise false alarms, as often as they say? Many virtual studies.

``python -m studies.interval_coverage --sizes 60 100`` draws studies of 60 and 100 patients at the two hospitals (without
`--sizes` the published training series, CLB 221 and IB 390) and computes intervals, by every method, of the AUC at 5
years of two fixed scores and of their difference: the FNCLCC grade, and a Cox model on the clinical comparator's variables
that was fitted once on other patients. Their true AUCs are taken over very many patients with their true risks
(:func:`virtual_cohort.patients.information.expected_auc`). A further quantity is the cross-validated Cox model, refitted on the
folds of each study: its truth is the mean true AUC of the very models that were fitted, which is what an interval "for the
models at hand" must hold. It is estimated with the folds pooled, and as the mean over folds.

With ``--null`` the outcomes are permuted within each hospital, so that whatever is found is a false alarm.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines.statistics import logrank_test
from scipy.stats import norm

from sarcnet.compendium.files import write_json
from sarcnet.compendium.jsonable import to_jsonable
from sarcnet.compendium.seeds import rng, sequence
from sarcnet.evaluation.comparators import cox as comparators
from sarcnet.evaluation.metrics.auc import METASTASIS, Followup
from sarcnet.evaluation.metrics.bootstrap import Estimate, Method, Resampled, resample_auc
from sarcnet.evaluation.metrics.delong import delong
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import fold_mean_auc
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.subgroups.heterogeneity import judge_subgroups
from sarcnet.model.crossval import make_folds
from studies.cohort_calibration import HORIZON_MONTHS, SIZES
from virtual_cohort.patients.calibration import mass_patients
from virtual_cohort.patients.information import expected_auc
from virtual_cohort.simulated import simulate_cohort

GRADE, COX, GAP = "FNCLCC grade", "fixed Cox model", "their difference"
CROSSED, FOLD_MEAN = "cross-validated Cox model", "cross-validated Cox model, mean over folds"
BY_CENTRE, STRATIFIED, BCA = "percentile, by centre", "percentile, by centre and event", "BCa, by centre and event"
JACKKNIFE, DELONG = "normal, influence by leaving out", "normal, DeLong with weights"
FOLDS, LEVEL = 4, 0.95
SEED = 0  # of the inner folds in which the fixed model's penalty is chosen
WANTED = (0.93, 0.97)
PUBLISHED = tuple(series["training"] for series in SIZES.values())


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


def study(seed: int, *names: str | int, sizes: Sequence[int] = PUBLISHED) -> pd.DataFrame:
    """One simulated series with so many patients at each of the two hospitals."""
    own = int(sequence(seed, "coverage", *names).generate_state(1)[0])
    counts = {centre: {"training": n} for centre, n in zip(SIZES, sizes, strict=True)}
    cohort = simulate_cohort(own, counts=counts)
    return _readable(pd.concat([part.table.assign(centre=name) for name, part in cohort.items()], ignore_index=True))


def truths(known: World) -> dict[str, float]:
    """True AUCs of the fixed scores and of their difference."""
    grade = known.auc(comparators.grade_score(known.taught, known.table))
    cox = known.auc(comparators.cox_risk(known.taught, known.table, horizon_months=HORIZON_MONTHS, seed=SEED))
    return {GRADE: grade, COX: cox, GAP: cox - grade}


def crossed(table: pd.DataFrame, known: World | None, *, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Out-of-fold risks (n, 1) of the Cox model, the folds (n, 1), and the mean true AUC of the folds' models (or NaN)."""
    folds = make_folds(table, folds=FOLDS, repeats=1, seed=seed)
    place = folds.set_index("patient_id")["fold"].reindex(table["patient_id"]).to_numpy()[:, None]
    risk, found = np.full((len(table), 1), np.nan), []
    for fold in np.unique(place):
        held = place[:, 0] == fold
        judged = table[held] if known is None else pd.concat([table[held], known.table], ignore_index=True)
        risks = comparators.cox_risk(table[~held], judged, horizon_months=HORIZON_MONTHS, seed=seed)
        risk[held, 0] = risks[: held.sum()]
        if known is not None:
            found.append(known.auc(risks[held.sum() :]))
    return risk, place, float(np.mean(found)) if found else float("nan")


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


def coverage(
    seed: int, *, studies: int, samples: int, patients: int, refit: bool = True, sizes: Sequence[int] = PUBLISHED
) -> pd.DataFrame:
    """Share of studies whose interval holds the truth.

    Args:
        studies: virtual studies.
        samples: resamples in each.
        patients: patients over whom the true AUCs are taken.
        refit: also the cross-validated model, which takes longest.
        sizes: patients at each hospital.

    Returns: One row for each quantity and method: coverage, error (of the coverage, from the number of studies), bias (mean
    estimate minus truth), below, above (share of studies whose interval lies wholly below or above the truth), width
    (mean), power (share of studies whose interval excludes no difference, 0, or for an AUC no discrimination, 0.5),
    without (share of studies with too few patients for an interval, which the other columns leave out). The mean over
    folds has a bias only.
    """
    known = world(seed, patients=patients)
    fixed, rows = truths(known), []
    tables = [study(seed, number, sizes=sizes) for number in range(studies)]
    everybody = pd.concat(tables, ignore_index=True)
    scores = {
        GRADE: comparators.grade_score(known.taught, everybody),
        COX: comparators.cox_risk(known.taught, everybody, horizon_months=HORIZON_MONTHS, seed=SEED),
    }
    for number, table in enumerate(tables):
        followup = Followup.of(table)
        place = slice(number * len(table), (number + 1) * len(table))
        risks = {name: score[place, None] for name, score in scores.items()}
        true = dict(fixed)
        if refit:
            risks[CROSSED], folds, true[CROSSED] = crossed(table, known, seed=number)
            mean = fold_mean_auc(risks[CROSSED], folds, followup, horizon_months=HORIZON_MONTHS)
            rows.append((FOLD_MEAN, "value only", mean - true[CROSSED], *[np.nan] * 4, False))
        found = intervals(risks, followup, samples=samples, generator=rng(seed, "coverage", "resamples", number))
        for (quantity, method), made in found.items():
            truth, nothing = true[quantity], 0.0 if quantity == GAP else 0.5
            seen = not np.isnan(made.low)
            told = (
                made.high < truth,
                made.low > truth,
                made.high - made.low,
                made.low > nothing or made.high < nothing,
            )
            rows.append((quantity, method, made.value - truth, *(told if seen else [np.nan] * 4), not seen))
    columns = ["quantity", "method", "bias", "below", "above", "width", "power", "without"]
    each = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))
    summary = each.groupby(["quantity", "method"], sort=False).mean()
    covered = 1 - summary["below"] - summary["above"]
    summary.insert(0, "coverage", covered)
    summary.insert(1, "error", np.sqrt(covered * (1 - covered) / (studies * (1 - summary["without"]))))
    return summary


def false_alarms(seed: int, *, studies: int, samples: int, sizes: Sequence[int] = PUBLISHED) -> pd.DataFrame:
    """Share of studies with permuted outcomes in which something is found at 5 percent.

    Outcomes are permuted within each hospital, so that no variable tells anything. The Cox model is refitted on the folds.

    Returns: One row for each check: check, share, error (of the share, from the number of studies).
    """
    alarms: dict[str, list[float]] = {}
    for number in range(studies):
        table = study(seed, "null", number, sizes=sizes)
        generator = rng(seed, "coverage", "permuted", number)
        for rows in table.groupby("centre").indices.values():
            outcome = table.iloc[generator.permutation(rows)][["mfs_months", "mfs_event"]].to_numpy()
            table.loc[table.index[rows], ["mfs_months", "mfs_event"]] = outcome
        risk, _, _ = crossed(table, None, seed=number)
        grade = comparators.grade_score(table, table)[:, None]
        series = EvaluationSet("cross-validation", table, {"cox": risk, "grade": grade})
        found = judge_subgroups(
            series,
            model="cox",
            other="grade",
            horizon_months=HORIZON_MONTHS,
            resampling=Resampling(samples=samples, level=LEVEL, seed=number),
        )
        high = risk[:, 0] >= np.median(risk)
        event = table["mfs_event"].to_numpy() == METASTASIS
        months = table["mfs_months"].to_numpy(float)
        test = logrank_test(months[high], months[~high], event_observed_A=event[high], event_observed_B=event[~high])
        whole = found.rows.iloc[0]
        below, tests = 1 - LEVEL, found.tests["p"]
        for check, alarm in {
            "the interval of the cross-validated AUC lies above 0.5": whole["low"] > 0.5,
            "the interval of the difference from the grade lies above 0": whole["difference_low"] > 0,
            "the interval of the difference from the grade lies below 0": whole["difference_high"] < 0,
            "log-rank test between groups cut at the median of cross-validated risks": test.p_value < below,
            "heterogeneity of the difference: a test, on average": (tests < below).mean(),
            "heterogeneity of the difference: any of the tests": (tests < below).any(),
            "heterogeneity: number of tests": len(tests),
        }.items():
            alarms.setdefault(check, []).append(float(alarm))
    rows = [(check, np.nanmean(each), np.nanstd(each) / np.sqrt(studies)) for check, each in alarms.items()]
    return pd.DataFrame(rows, columns=["check", "share", "error"]).set_index("check")


def main() -> int:
    """Print the table; exit code 1 when an interval's coverage misses what was wanted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=20_000, help="patients over whom true AUCs are taken")
    parser.add_argument("--sizes", type=int, nargs=2, default=PUBLISHED, help="patients at each of the two hospitals")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--fixed-only", action="store_true", help="leave out the cross-validated model")
    parser.add_argument("--null", action="store_true", help="permute the outcomes and count false alarms")
    parser.add_argument("--json", type=Path, help="file to write the table to")
    given = parser.parse_args()
    setting = {"studies": given.studies, "samples": given.samples, "sizes": given.sizes}
    if given.null:
        found = false_alarms(given.seed, **setting)
    else:
        found = coverage(given.seed, **setting, patients=given.patients, refit=not given.fixed_only)
    print(
        f"{given.studies} virtual studies of {sum(given.sizes)} patients, nominal {LEVEL:.0%}\n"
        f"{found.to_string(float_format='%.3f')}"
    )
    if given.json:
        write_json(given.json, to_jsonable({"rows": found.reset_index().to_dict("records"), **setting}))
    if given.null:
        return 0
    covered = found["coverage"].dropna()
    outside = covered[~covered.round(9).between(*WANTED)]
    for (quantity, method), share in outside.items():
        print(f"{quantity}, {method}: {share:.3f}, wanted {WANTED[0]} to {WANTED[1]}.")
    return 1 if len(outside) else 0


if __name__ == "__main__":
    raise SystemExit(main())
