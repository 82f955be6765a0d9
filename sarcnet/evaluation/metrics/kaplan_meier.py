"""Risk groups: who belongs to which, and how they fare, with death censored and with death competing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines.statistics import logrank_test

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.incidence import curve
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import METASTASIS, Followup
from sarcnet.evaluation.metrics.gray import gray_test

HIGH, LOW = "high risk", "low risk"


def grouped(patients: pd.DataFrame, *, cut: float) -> pd.DataFrame:
    """`patients` (with a column risk) and their group: at or above the cut-off is high risk."""
    return patients.assign(group=np.where(patients["risk"] >= cut, HIGH, LOW))


@dataclass(frozen=True)
class Curves:
    """Curves of the two groups.

    steps: Kaplan–Meier, death censored: group, months, free, low, high (95 % bounds).
    incidence: Aalen–Johansen: group, event (in the endpoint's words), months, risk, low, high.
    at_risk: one row a group, one column a time in months.
    p, gray_p: log-rank and Gray's test between the groups (NaN when not tested, one is empty or nobody had the event).
    """

    steps: pd.DataFrame
    incidence: pd.DataFrame
    at_risk: pd.DataFrame
    p: float
    gray_p: float


def curves(
    patients: pd.DataFrame,
    *,
    months_shown: list[float],
    tests: bool,
    endpoint: Endpoint,
    log: FailureLog | None = None,
) -> Curves:
    """Freedom from the event by group, a competing death censored, and the incidence of both where one competes.

    Args:
        patients: with centre, mfs_months, mfs_event and group.
        months_shown: times for which the numbers at risk are counted: patients whose follow-up is that long or longer.
        tests: whether the groups are compared by tests; not where they were formed from cross-validated risks.
        log: gets a sentence for each test that cannot be made.
    """
    log = log or FailureLog()
    steps, incidences, risk = [], [], {}
    for name in (HIGH, LOW):
        own = patients[patients["group"] == name]
        if own.empty:
            log.add(f"Nobody is in the group at {name}: there is no second curve{' and no test' if tests else ''}.")
            continue
        followup = Followup.of(own)
        net = curve(followup, competing=False)
        free = {"months": net["months"], "free": 1 - net["risk"], "low": 1 - net["high"], "high": 1 - net["low"]}
        steps.append(pd.DataFrame(free).assign(group=name))
        incidences += [
            curve(followup, competing=True, cause=cause).assign(group=name, event=words)
            for cause, words in endpoint.codes.items()
        ]
        risk[name] = [int((followup.months >= time).sum()) for time in months_shown]
    p = gray_p = float("nan")
    if tests and len(risk) == 2:
        times, events = patients["mfs_months"].to_numpy(float), patients["mfs_event"].to_numpy(int)
        found = log("the two risk groups", gray_test, times, events, patients["group"].to_numpy(str))
        if found is not None:
            gray_p, high = found.p, (patients["group"] == HIGH).to_numpy()
            p = float(
                logrank_test(
                    times[high],
                    times[~high],
                    event_observed_A=events[high] == METASTASIS,
                    event_observed_B=events[~high] == METASTASIS,
                ).p_value
            )
    at_risk = pd.DataFrame(risk, index=months_shown).T
    return Curves(pd.concat(steps, ignore_index=True), pd.concat(incidences, ignore_index=True), at_risk, p, gray_p)
