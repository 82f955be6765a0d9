"""Follow-up and outcome of the training series: how long patients were seen, and what happened."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from lifelines import AalenJohansenFitter, KaplanMeierFitter

METASTASIS, DEATH = 1, 2
YEARS_SHOWN = (0, 1, 2, 3, 4, 5, 6, 7, 8)


def with_outcome(patients: pd.DataFrame) -> pd.DataFrame:
    """Patients whose outcome is known."""
    return patients.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)


def follow_up(patients: pd.DataFrame) -> pd.DataFrame:
    """By centre: n, median follow-up in years by reverse Kaplan-Meier (Schemper and Smith 1996: the censored are the
    event, events are the censored) with 95 % interval, and counts of what was seen."""
    from lifelines.utils import median_survival_times

    rows = {}
    for name, group in _groups(patients):
        fit = KaplanMeierFitter().fit(group["mfs_months"] / 12, group["mfs_event"] == 0)
        low, high = median_survival_times(fit.confidence_interval_).iloc[0]
        rows[name] = {
            "patients": len(group),
            "median_years": float(fit.median_survival_time_),
            "low": float(low),
            "high": float(high),
            "metastasis": int((group["mfs_event"] == METASTASIS).sum()),
            "death without metastasis": int((group["mfs_event"] == DEATH).sum()),
            "censored": int((group["mfs_event"] == 0).sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def metastasis_free(patients: pd.DataFrame) -> pd.DataFrame:
    """Kaplan-Meier estimate of freedom from metastasis, death censored, by centre: columns centre, years, free, low,
    high (95 %, log-log)."""
    parts = []
    for name, group in _groups(patients):
        fit = KaplanMeierFitter().fit(group["mfs_months"] / 12, group["mfs_event"] == METASTASIS)
        low, high = (fit.confidence_interval_.iloc[:, k].to_numpy() for k in (0, 1))
        curve = {"years": fit.timeline, "free": fit.survival_function_.iloc[:, 0].to_numpy(), "low": low, "high": high}
        parts.append(pd.DataFrame(curve).assign(centre=name))
    return pd.concat(parts, ignore_index=True)


def cumulative_incidence(patients: pd.DataFrame) -> pd.DataFrame:
    """Aalen-Johansen estimate of both events, all centres together: columns event, years, incidence.

    Tied times are parted by a jitter with a fixed seed, as the estimator needs; it moves nobody by more than hours.
    """
    parts = []
    for event, name in ((METASTASIS, "metastasis"), (DEATH, "death without metastasis")):
        if not (patients["mfs_event"] == event).any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lifelines announces the jitter
            fit = AalenJohansenFitter(jitter_level=1e-5, seed=0, calculate_variance=False).fit(
                patients["mfs_months"] / 12, patients["mfs_event"].astype(int), event_of_interest=event
            )
        curve = fit.cumulative_density_.iloc[:, 0]
        parts.append(pd.DataFrame({"event": name, "years": curve.index.to_numpy(), "incidence": curve.to_numpy()}))
    columns = ["event", "years", "incidence"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def at_risk(patients: pd.DataFrame) -> pd.DataFrame:
    """Patients still under observation at whole years: a row per centre, a column per year."""
    rows = {
        name: [int((group["mfs_months"] >= 12 * year).sum()) for year in YEARS_SHOWN]
        for name, group in _groups(patients)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(YEARS_SHOWN))


def free_at(curves: pd.DataFrame, *, years: float) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of each centre's curve at a time; NaN where nobody was followed that long."""
    found = {}
    for name, curve in curves.groupby("centre", sort=False):
        row = curve[curve["years"] <= years].iloc[-1]
        seen = curve["years"].max() >= years
        found[str(name)] = tuple(float(row[k]) if seen else np.nan for k in ("free", "low", "high"))
    return found  # type: ignore[return-value]


def _groups(patients: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), group) for name, group in patients.groupby("centre")]
