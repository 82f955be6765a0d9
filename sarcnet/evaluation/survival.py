"""Risk groups: who belongs to which, how they fare, and how predicted and observed risk compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test

from sarcnet.compendium.faults import SarcnetError
from sarcnet.evaluation.auc import METASTASIS

HIGH, LOW = "high risk", "low risk"


def cut_off(training_risk: pd.Series, *, high_risk_share: float) -> float:
    """Risk above which that share of the training patients lies: fitted on training patients and kept."""
    return float(training_risk.quantile(1 - high_risk_share))


def grouped(patients: pd.DataFrame, *, cut: float) -> pd.DataFrame:
    """`patients` (with a column risk) and their group: at or above the cut-off is high risk."""
    return patients.assign(group=np.where(patients["risk"] >= cut, HIGH, LOW))


@dataclass(frozen=True)
class Curves:
    """Kaplan–Meier curves of the two groups.

    steps: group, months, free, low, high (95 % bounds). at_risk: one row a group, one column a time in months.
    p: log-rank test between the groups (NaN when one is empty).
    """

    steps: pd.DataFrame
    at_risk: pd.DataFrame
    p: float


def curves(patients: pd.DataFrame, *, months_shown: list[float]) -> Curves:
    """Freedom from metastasis by group, death without metastasis censored.

    Args:
        patients: with mfs_months, mfs_event and group.
        months_shown: times for which the numbers at risk are counted: patients whose follow-up is that long or longer.
    """
    steps, risk = [], {}
    for name in (HIGH, LOW):
        own = patients[patients["group"] == name]
        if own.empty:
            continue
        months, event = own["mfs_months"].to_numpy(float), own["mfs_event"].to_numpy(float) == METASTASIS
        fitted = KaplanMeierFitter().fit(months, event)
        bounds = fitted.confidence_interval_
        steps.append(
            pd.DataFrame(
                {
                    "group": name,
                    "months": fitted.survival_function_.index.to_numpy(float),
                    "free": fitted.survival_function_.to_numpy()[:, 0],
                    "low": bounds.to_numpy()[:, 0],
                    "high": bounds.to_numpy()[:, 1],
                }
            )
        )
        risk[name] = [int((months >= time).sum()) for time in months_shown]
    p = float("nan")
    if len(risk) == 2:
        high, low = (patients[patients["group"] == name] for name in (HIGH, LOW))
        p = float(
            logrank_test(
                high["mfs_months"],
                low["mfs_months"],
                event_observed_A=high["mfs_event"] == METASTASIS,
                event_observed_B=low["mfs_event"] == METASTASIS,
            ).p_value
        )
    return Curves(pd.concat(steps, ignore_index=True), pd.DataFrame(risk, index=months_shown).T, p)


def calibration(patients: pd.DataFrame, *, horizon_months: float, groups: int) -> pd.DataFrame:
    """Predicted against observed risk at the horizon, in groups of equal size by predicted risk.

    Observed is one minus the Kaplan–Meier estimate with its 95 % bounds, death without metastasis censored: what a
    hazard for metastasis alone predicts.

    Returns:
        One row a group: predicted (mean), observed, low, high, n.

    Raises:
        SarcnetError: too few different risks for so many groups.
    """
    if patients["risk"].nunique() < groups:
        raise SarcnetError(f"{patients['risk'].nunique()} different risks cannot be put into {groups} groups.")
    bins = pd.qcut(patients["risk"].rank(method="first"), groups, labels=False)
    rows = []
    for _, own in patients.groupby(bins):
        fitted = KaplanMeierFitter().fit(own["mfs_months"], own["mfs_event"] == METASTASIS)
        upto = fitted.confidence_interval_.loc[:horizon_months].iloc[-1]
        rows.append(
            {
                "predicted": own["risk"].mean(),
                "observed": 1 - float(fitted.predict(horizon_months)),
                "low": 1 - float(upto.iloc[1]),
                "high": 1 - float(upto.iloc[0]),
                "n": len(own),
            }
        )
    return pd.DataFrame(rows)
