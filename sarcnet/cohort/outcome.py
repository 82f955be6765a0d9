"""What was seen of the patients: event codes, follow-up, and who is a case or a control at a horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CENSORED, METASTASIS, DEATH = 0, 1, 2  # death: without metastasis before it
HORIZON_MONTHS = 60.0  # of the study's outcome, unless notebook 03 asks for another


def with_outcome(patients: pd.DataFrame) -> pd.DataFrame:
    """Patients whose outcome is known."""
    return patients.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)


@dataclass(frozen=True)
class Followup:
    """What was seen of n patients: months (n,), event (n,) in {0 censored, 1 event, 2 competing death}, centre (n,).

    The event is a metastasis, or metastasis or death where the outcome is metastasis-free survival
    (:mod:`sarcnet.cohort.endpoint`); then there is no competing death.

    At a horizon each patient is exactly one of: a case (metastasis by then), a control (free of metastasis then, or dead
    before without one), lost (censored before it). A patient censored on the day of the horizon was free then.
    """

    months: np.ndarray
    event: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, patients: pd.DataFrame) -> Followup:
        """From the columns mfs_months, mfs_event and centre, none of them missing."""
        return cls(
            patients["mfs_months"].to_numpy(float),
            patients["mfs_event"].to_numpy(int),
            patients["centre"].to_numpy(str),
        )

    def __len__(self) -> int:
        return len(self.months)

    def select(self, rows: np.ndarray) -> Followup:
        """These rows (integers or a mask), in this order."""
        return Followup(self.months[rows], self.event[rows], self.centre[rows])

    def is_case(self, horizon_months: float) -> np.ndarray:
        """(n,) had a metastasis by the horizon."""
        return (self.event == METASTASIS) & (self.months <= horizon_months)

    def is_free(self, horizon_months: float) -> np.ndarray:
        """(n,) known to be alive and free of metastasis at the horizon."""
        return (self.months > horizon_months) | ((self.months == horizon_months) & (self.event == CENSORED))

    def is_control(self, horizon_months: float) -> np.ndarray:
        """(n,) known to have had no metastasis by the horizon: free then, or dead before without one."""
        return self.is_free(horizon_months) | ((self.event == DEATH) & (self.months <= horizon_months))

    def is_lost(self, horizon_months: float) -> np.ndarray:
        """(n,) censored before the horizon: neither case nor control."""
        return (self.event == CENSORED) & (self.months < horizon_months)

    def is_judged(self, horizon_months: float) -> np.ndarray:
        """(n,) belongs to a centre that was followed to the horizon: somebody is known free then, or nobody was lost.

        A centre without such a patient would give cases and no controls, so a score that tells the centres apart would
        look good. Its patients are left out of whatever is judged at the horizon, on both sides.
        """
        names, place = np.unique(self.centre, return_inverse=True)
        free = np.bincount(place, self.is_free(horizon_months), len(names)) > 0
        whole = np.bincount(place, self.is_lost(horizon_months), len(names)) == 0
        return (free | whole)[place]


def known_at(followup: Followup, *, horizon_months: float) -> pd.DataFrame:
    """By centre: patients, events, competing deaths, free and lost at the horizon, longest follow-up in months."""
    rows = {}
    for centre in np.unique(followup.centre):
        own = followup.select(followup.centre == centre)
        case, free, lost = (f(horizon_months) for f in (own.is_case, own.is_free, own.is_lost))
        rows[str(centre)] = {
            "patients": len(own),
            "events": int(case.sum()),
            "competing deaths": int((~case & ~free & ~lost).sum()),
            "free": int(free.sum()),
            "lost before": int(lost.sum()),
            "longest follow-up (months)": float(own.months.max()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def not_followed(followup: Followup, *, horizon_months: float) -> list[str]:
    """A sentence for each centre whose patients cannot be judged at the horizon (see :meth:`Followup.is_judged`)."""
    left = followup.select(~followup.is_judged(horizon_months))
    return [
        f"{centre} was not followed to {horizon_months:g} months: none of its {row['patients']:.0f} patients "
        f"({row['events']:.0f} with the event, {row['lost before']:.0f} lost before) is known to be free of it "
        f"then; the longest follow-up is {row['longest follow-up (months)']:.1f} months. They are left out of whatever is "
        f"judged at {horizon_months:g} months, as cases and as controls."
        for centre, row in known_at(left, horizon_months=horizon_months).iterrows()
    ]
