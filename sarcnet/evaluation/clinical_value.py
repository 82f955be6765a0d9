"""Beyond the AUC: calibration, risk groups, decisions and moves between groups, for every series that allows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.comparators import FNCLCC
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.bootstrap import resample_counts
from sarcnet.evaluation.metrics.calibration import Calibration, by_group, calibrate
from sarcnet.evaluation.metrics.kaplan_meier import Curves, curves, grouped
from sarcnet.evaluation.metrics.net_benefit import (
    THRESHOLD_COLUMNS,
    benefit_differences,
    decision_curve,
    threshold_table,
)
from sarcnet.evaluation.metrics.reclassification import Moves, moves
from sarcnet.evaluation.predictions import EvaluationSet

HIGH_GRADE = 3.0
CURVE_THRESHOLDS = tuple(float(p) for p in np.round(np.arange(0.05, 0.8, 0.025), 3))


def survival_of(
    everyone: Sequence[EvaluationSet],
    *,
    model: str,
    cut: float,
    months_shown: list[float],
    tested: Sequence[str],
    endpoint: Endpoint,
    log: FailureLog,
) -> dict[str, Curves]:
    """Kaplan–Meier and Aalen–Johansen curves of the two risk groups of `model` in each series.

    Args:
        tested: names of the series in which the groups are compared by tests: those from which no risk was learnt.
            Cross-validated risks of different patients depend on each other's outcomes, and the tests would reject too often.
    """
    return {
        series.name: curves(
            grouped(series.with_risk(model), cut=cut),
            months_shown=months_shown,
            tests=series.name in tested,
            endpoint=endpoint,
            log=log,
        )
        for series in everyone
        if model in series.risks and len(series)
    }


@dataclass(frozen=True)
class Calibrations:
    """Of one model: against Aalen–Johansen (`lived`) and Kaplan–Meier (`net`) by series, and groups against the former."""

    lived: dict[str, Calibration]
    net: dict[str, Calibration]
    groups: dict[str, pd.DataFrame]
    death: str = "competes"  # what it is for `lived`

    @property
    def table(self) -> pd.DataFrame:
        """One row a series and way to treat death: mean predicted, observed, intercept, slope, ICI (text with interval)."""
        rows = [
            (name, how, f"{c.predicted:.3f}", f"{c.observed:.3f}", str(c.intercept), str(c.slope), str(c.ici))
            for how, found in ((self.death, self.lived), ("censored", self.net))
            for name, c in found.items()
        ]
        columns = ["series", "death", "predicted (mean)", "observed", "intercept (0)", "slope (1)", "ICI (0)"]
        return pd.DataFrame(rows, columns=columns)


def calibration_of(
    everyone: Sequence[EvaluationSet],
    *,
    model: str,
    horizon_months: float,
    endpoint: Endpoint,
    groups: int,
    samples: int,
    level: float,
    seed: int,
    log: FailureLog,
) -> Calibrations:
    """Calibration of `model` (its mean risk over the repeats) in each series; `log` gets a sentence for what is not."""
    found = Calibrations({}, {}, {}, death="competes" if endpoint.competing else "is an event")
    ways = [(True, found.lived), (False, found.net)] if endpoint.competing else [(True, found.lived)]
    for series in (item for item in everyone if model in item.risks and len(item)):
        risk, followup = series.with_risk(model)["risk"].to_numpy(float), series.followup
        counts = resample_counts(followup.centre, samples=samples, rng=rng(seed, "calibration", series.name))
        for competing, kept in ways:
            made = log(
                f"{series.name}, calibration",
                calibrate,
                risk,
                followup,
                horizon_months=horizon_months,
                competing=competing,
                level=level,
                counts=counts,
            )
            if made is not None:
                kept[series.name] = made
        table = log(
            f"{series.name}, groups of risk",
            by_group,
            risk,
            followup,
            horizon_months=horizon_months,
            groups=groups,
            competing=True,
            level=level,
        )
        if table is not None:
            found.groups[series.name] = table
    return found


def decisions_of(
    series: EvaluationSet,
    models: Sequence[str],
    *,
    horizon_months: float,
    samples: int,
    level: float,
    seed: int,
    log: FailureLog,
) -> pd.DataFrame:
    """Decision curve of the models' mean risks, and of treating whoever has grade 3; empty where there is none."""
    counts = resample_counts(series.followup.centre, samples=samples, rng=rng(seed, "decision", series.name))
    found = log(
        f"{series.name}, decision curve",
        decision_curve,
        policies(series, models),
        series.followup,
        horizon_months=horizon_months,
        thresholds=CURVE_THRESHOLDS,
        counts=counts,
        level=level,
    )
    return pd.DataFrame(columns=["model", "threshold", "benefit", "low", "high"]) if found is None else found


def policies(series: EvaluationSet, models: Sequence[str]) -> dict[str, np.ndarray]:
    """(n,) mean risks of the models that the series has; of the grade, 1 for grade 3 and 0 for the others."""
    risks = {model: series.with_risk(model)["risk"].to_numpy(float) for model in models if model in series.risks}
    if FNCLCC in series.risks:
        risks[FNCLCC] = (series.with_risk(FNCLCC)["risk"].to_numpy() >= HIGH_GRADE).astype(float)
    return risks


def benefit_gains_of(
    everyone: Sequence[EvaluationSet],
    model: str,
    others: Sequence[str],
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    samples: int,
    level: float,
    seed: int,
    log: FailureLog,
) -> pd.DataFrame:
    """Net benefit of `model` minus that of each other policy, in each series.

    Returns:
        series, threshold, model, other, difference, low, high, note; empty where nothing could be computed.
    """
    frames = []
    for series in (item for item in everyone if model in item.risks and len(item)):
        found = log(
            f"{series.name}, net benefit",
            benefit_differences,
            policies(series, [model, *others]),
            series.followup,
            pairs=[(model, other) for other in others],
            horizon_months=horizon_months,
            thresholds=thresholds,
            counts=resample_counts(series.followup.centre, samples=samples, rng=rng(seed, "net benefit", series.name)),
            level=level,
        )
        if found is not None:
            frames.append(found.assign(series=series.name))
    columns = ["series", "threshold", "model", "other", "difference", "low", "high", "note"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def thresholds_of(
    series: EvaluationSet,
    model: str,
    *,
    horizon_months: float,
    thresholds: Sequence[float],
    samples: int,
    level: float,
    seed: int,
    log: FailureLog,
) -> pd.DataFrame:
    """Sensitivity, specificity, predictive values and net benefit of `model` at stated risks; empty where there are none."""
    counts = resample_counts(series.followup.centre, samples=samples, rng=rng(seed, "thresholds", series.name))
    found = log(
        f"{series.name}, thresholds",
        threshold_table,
        series.with_risk(model)["risk"].to_numpy(float),
        series.followup,
        horizon_months=horizon_months,
        thresholds=thresholds,
        counts=counts,
        level=level,
    )
    return pd.DataFrame(columns=THRESHOLD_COLUMNS) if found is None else found


def moves_of(
    series: EvaluationSet,
    model: str,
    others: Mapping[str, float],
    *,
    cut: float,
    horizon_months: float,
    level: float,
    log: FailureLog,
) -> dict[str, Moves]:
    """Who changes group when `model` with its cut-off replaces each other score with its own; by other model."""
    found = {}
    new = series.with_risk(model)["risk"].to_numpy(float) >= cut
    for other, edge in others.items():
        if other in series.risks:
            old = series.with_risk(other)["risk"].to_numpy(float) >= edge
            what = f"{series.name}, moves"
            made = log(what, moves, old, new, series.followup, horizon_months=horizon_months, level=level)
            if made is not None:
                found[other] = made
    return found
