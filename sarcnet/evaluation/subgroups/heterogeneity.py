"""The AUC in each hospital and subgroup, and whether two models differ more in one subgroup than in another.

Subgroups hold different patients, and the weights for censoring are estimated in each by itself, so their differences
are independent. Heterogeneity is Cochran's Q (Biometrics 1954) of the levels' differences with their bootstrap
variances, on one degree of freedom fewer than levels. The tests are exploratory: few patients give them little power, and
there are seven of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.bootstrap import LEAST, resample_auc
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet

LARGE_MM, OLD_YEARS = 80.0, 65.0  # the hazard flattens above 8 cm (study.md, section 4)
COMMON = ("UPS", "leiomyosarcoma", "myxofibrosarcoma")


@dataclass(frozen=True)
class Subgroups:
    """Forest of subgroups.

    rows: variable, level, n, events (by the horizon), auc, low, high, difference, difference_low, difference_high.
    tests: variable, q, freedom, p.
    failures: a sentence for each level or test that could not be computed.
    """

    rows: pd.DataFrame
    tests: pd.DataFrame
    failures: list[str]


def levels(patients: pd.DataFrame) -> pd.DataFrame:
    """The subgroups of each patient, one column a variable; missing values stay missing and belong to no level."""
    size, grade = patients["size_mm"].astype(float), patients["fnclcc_grade"].astype(float)
    age, histotype = patients["age_years"].astype(float), patients["histotype"].astype(object)
    known = pd.DataFrame(
        {
            "hospital": patients["centre"],
            "grade": np.select([grade <= 2, grade > 2], ["grade 1 or 2", "grade 3"], ""),
            "size": np.select([size <= LARGE_MM, size > LARGE_MM], ["up to 8 cm", "above 8 cm"], ""),
            "depth": patients["depth"].astype(object),
            "histotype": histotype.where(histotype.isin(COMMON) | histotype.isna(), "other"),
            "sex": patients["sex"].astype(object),
            "age": np.select([age < OLD_YEARS, age >= OLD_YEARS], ["below 65 years", "65 years or more"], ""),
        },
        index=patients.index,
    )
    return known.replace("", None)


def judge_subgroups(
    series: EvaluationSet, *, model: str, other: str, horizon_months: float, resampling: Resampling
) -> Subgroups:
    """AUC of `model` and its difference from `other` in all patients, in each hospital and in each subgroup.

    Args:
        series: the patients with the risks of every model.
        model: name of the model whose AUC is taken in each subgroup.
        other: name of the model that it is compared with.
        horizon_months: horizon of the outcome, in months.
        resampling: settings of the bootstrap; the log is not used, see `failures` of what is returned.

    Returns:
        Rows of the forest, tests of heterogeneity, and a sentence for what could not be computed.
    """
    rows, tests, failures, small = [], [], [], []
    places = [("all", "all patients", np.ones(len(series), bool))]
    known = levels(series.patients)
    for variable in known:
        found_levels = sorted(known[variable].dropna().unique())
        if len(found_levels) < 2:
            failures.append(
                f"{variable}: all patients are alike ({', '.join(found_levels) or 'unknown'}), so there is nothing to compare."
            )
        places += [(variable, name, (known[variable] == name).to_numpy()) for name in found_levels]
    for variable, name, own in places:
        followup = series.followup.select(own)
        early, free = (int(kind(horizon_months).sum()) for kind in (followup.is_case, followup.is_free))
        if variable != "all" and min(early, free) < LEAST:
            small.append(f"{name} ({early} and {free})")
            continue
        risks = {key: series.risks[key][own] for key in (model, other)}
        # All patients get the very resamples of the main table, so that both say the same.
        names = ("bootstrap", series.name) if variable == "all" else ("subgroups", variable, name)
        try:
            found = resample_auc(
                risks,
                followup,
                horizon_months=horizon_months,
                samples=resampling.samples,
                level=resampling.level,
                rng=resampling.rng(*names),
            )
        except SarcnetError as reason:
            failures.append(f"{variable}, {name}: {reason}")
            continue
        gap, auc = found.difference(model, other), found.estimate(model)
        error = float(np.nanstd(found.draws[model] - found.draws[other]))
        numbers = (auc.value, auc.low, auc.high, gap.value, gap.low, gap.high, error)
        rows.append((variable, name, int(own.sum()), early, *numbers))
    if small:
        failures.append(
            f"Subgroups need {LEAST} events and {LEAST} patients known to be free of it at {horizon_months:g} months; "
            f"these have too few: {', '.join(small)}."
        )
    named = ["variable", "level", "n", "events", "auc", "low", "high"]
    table = pd.DataFrame(rows, columns=[*named, "difference", "difference_low", "difference_high", "error"])
    for variable, group in table[table["variable"] != "all"].groupby("variable", sort=False):
        if len(group) > 1 and (group["error"] > 0).all():
            tests.append((variable, *heterogeneity(group["difference"].to_numpy(), group["error"].to_numpy())))
    return Subgroups(
        table.drop(columns="error"), pd.DataFrame(tests, columns=["variable", "q", "freedom", "p"]), failures
    )


def heterogeneity(values: np.ndarray, errors: np.ndarray) -> tuple[float, int, float]:
    """Cochran's Q of K independent values with their standard errors, its degrees of freedom, and P."""
    weight = 1 / errors**2
    q = float((weight * (values - (weight * values).sum() / weight.sum()) ** 2).sum())
    return q, len(values) - 1, float(chi2.sf(q, len(values) - 1))
