"""Follow-up and outcome of the training series: how long patients were seen, and what happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.incidence import curve, standardised_curve
from sarcnet.cohort.outcome import (
    CENSORED,
    DEATH,
    HORIZON_MONTHS,
    METASTASIS,
    Followup,
    known_at,
    not_followed,
    with_outcome,
)

YEARS_SHOWN = (0, 1, 2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Outcomes:
    """Follow-up and outcomes of patients whose outcome is known, and the words for them.

    Attributes:
        known: (n rows) patients with mfs_months, mfs_event and centre.
        endpoint: the event.
        horizon_months: month at which the study asks for the event.
    """

    known: pd.DataFrame
    endpoint: Endpoint
    horizon_months: float

    @property
    def follow_up(self) -> pd.DataFrame:
        """By centre: n, median follow-up in years by reverse Kaplan-Meier (Schemper and Smith 1996: the censored are the
        event, events are the censored) with 95 % interval, and counts of what was seen."""
        from lifelines.utils import median_survival_times

        rows = {}
        for centre, group in self.known.groupby("centre"):
            fit = KaplanMeierFitter().fit(group["mfs_months"] / 12, group["mfs_event"] == CENSORED)
            low, high = median_survival_times(fit.confidence_interval_).iloc[0]
            rows[str(centre)] = {
                "patients": len(group),
                "median_years": float(fit.median_survival_time_),
                "low": float(low),
                "high": float(high),
                **{words: int((group["mfs_event"] == code).sum()) for code, words in self.endpoint.codes.items()},
                "censored": int((group["mfs_event"] == CENSORED).sum()),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    @property
    def event_free(self) -> pd.DataFrame:
        """Kaplan-Meier estimate of freedom from the event, a competing death censored, by centre: columns years, free, low,
        high (95 %, log-log), centre."""
        parts = []
        for centre, group in self.known.groupby("centre"):
            risk = curve(Followup.of(group), competing=False)
            free = {"free": 1 - risk["risk"], "low": 1 - risk["high"], "high": 1 - risk["low"]}
            parts.append(pd.DataFrame({"years": risk["months"] / 12, **free, "centre": str(centre)}))
        return pd.concat(parts, ignore_index=True)

    @property
    def cumulative_incidence(self) -> pd.DataFrame:
        """Aalen-Johansen estimate of the event and, where one competes, of the other: event, years, incidence, low, high.

        The hospitals' own estimates are weighted by their numbers of patients, as far as all of them were followed.
        """
        parts = [pd.DataFrame(columns=["event", "years", "incidence", "low", "high"])]
        for cause, name in self.endpoint.codes.items():
            if (self.known["mfs_event"] == cause).any():
                risk = standardised_curve(Followup.of(self.known), cause=cause)
                columns = {"incidence": risk["risk"], "low": risk["low"], "high": risk["high"]}
                parts.append(pd.DataFrame({"event": name, "years": risk["months"] / 12, **columns}))
        return pd.concat(parts[1:] or parts, ignore_index=True)

    @property
    def at_risk(self) -> pd.DataFrame:
        """Patients still under observation at whole years: a row per centre, a column per year."""
        rows = {
            str(centre): [int((months >= 12 * year).sum()) for year in YEARS_SHOWN]
            for centre, months in self.known.groupby("centre")["mfs_months"]
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(YEARS_SHOWN))

    def free_at(self, years: float) -> dict[str, tuple[float, float, float]]:
        """Freedom from the event at a time.

        Args:
            years: since diagnosis.

        Returns:
            Value, low and high of each centre's curve (shares); NaN where nobody was followed that long. No centre where no
            outcome is known.
        """
        shares: dict[str, tuple[float, float, float]] = {}
        for centre, steps in self.event_free.groupby("centre", sort=False) if len(self.known) else ():
            row = steps[steps["years"] <= years].iloc[-1]
            followed = steps["years"].max() >= years
            free, low, high = (float(row[name]) if followed else np.nan for name in ("free", "low", "high"))
            shares[str(centre)] = (free, low, high)
        return shares

    @property
    def to_the_horizon(self) -> str:
        """What is known of each hospital's patients at the horizon, in sentences; which hospitals cannot be judged then."""
        if not len(self.known):
            return "No outcome is known in this cohort."
        followup, endpoint = Followup.of(self.known), self.endpoint
        sentences = [
            f"{centre}: {row['free']:.0f} of {row['patients']:.0f} are known to be {endpoint.free} then, "
            f"{row['events']:.0f} {endpoint.had} by then, "
            + (f"{row['competing deaths']:.0f} had died without one, " if endpoint.competing else "")
            + f"and {row['lost before']:.0f} had been lost."
            for centre, row in known_at(followup, horizon_months=self.horizon_months).iterrows()
        ]
        text = f"**Follow-up to {self.horizon_months:g} months.** " + " ".join(sentences)
        attention = not_followed(followup, horizon_months=self.horizon_months)
        return text + "".join(f"\n\n**Attention: {sentence}**" for sentence in attention)

    @property
    def caption(self) -> str:
        """Caption of the figure of both curves."""
        return (
            f"Training series, n = {len(self.known)}. Left: Kaplan–Meier estimate of {self.endpoint.survival}, by "
            "hospital, 95 % bands. Right: Aalen–Johansen cumulative incidence of "
            f"{' and of '.join(self.endpoint.codes.values())}, the hospitals weighted by their numbers of patients, as "
            "far as all of them were followed."
        )

    @property
    def text(self) -> str:
        """Events, follow-up and freedom from the event at 5 years, in sentences."""
        if not len(self.known):
            return "Nothing can be said about outcomes: none is known."
        events, deaths = (int((self.known["mfs_event"] == code).sum()) for code in (METASTASIS, DEATH))
        died = f" and {deaths} died without one" if self.endpoint.competing else ""
        sentences = [
            f"Of {len(self.known)} training patients {events} {self.endpoint.had}{died}; the others were censored."
        ]
        medians = self.follow_up["median_years"]
        for centre, (free, low, high) in self.free_at(5.0).items():
            share = f"{100 * free:.0f} %" if free == free else "unknown"
            share += f" (95 % interval {100 * low:.0f}–{100 * high:.0f} %)" if low == low else ""
            sentences.append(
                f"**{centre}**: median follow-up {medians[centre]:.1f} years; {self.endpoint.survival} at 5 years {share}."
            )
        return " ".join(sentences)


def describe_outcomes(
    patients: pd.DataFrame, *, endpoint: Endpoint, horizon_months: float = HORIZON_MONTHS
) -> Outcomes:
    """How long patients were followed and what happened to them: tables, curves and sentences.

    Args:
        patients: one row per patient with mfs_months, mfs_event (coded for `endpoint`) and centre; rows without an
            outcome are left out.
        endpoint: the event and its words.
        horizon_months: month at which the study asks for the event.

    Returns:
        Follow-up by reverse Kaplan–Meier, freedom from the event by Kaplan–Meier, cumulative incidence by
        Aalen–Johansen, numbers at risk, and the sentences for them.
    """
    return Outcomes(with_outcome(patients), endpoint, horizon_months)
