"""Which event is predicted: metastasis, with death competing, or metastasis-free survival, with death as an event.

The abstract of SarcNet says "metastasis-free survival" and does not say whether death counts. In oncology trials it
usually does. The tables of the hospitals keep both causes apart (``mfs_event``: 0 censored, 1 metastasis, 2 death
without metastasis). :meth:`Endpoint.code` makes of them the codes of the chosen outcome, once, in notebook 00 (and so
at each hospital of a federation); every later stage knows event 1 only by the words given here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from sarcnet.compendium.errors import SarcnetError

OutcomeName = Literal["metastasis", "mfs"]
FILE = "outcome.json"


@dataclass(frozen=True)
class Endpoint:
    """The chosen outcome and the words for it in figures, tables and reports.

    Attributes:
        name: value of the parameter ``outcome``.
        event, events: what is counted as an event, singular and plural.
        had: what a patient with an event went through, in the past tense.
        free: state of a patient without an event.
        survival: name of the Kaplan–Meier curve of those without an event.
        incidence: name of the probability of an event by a given time; the predicted risk.
        competing: what ends the follow-up without being an event, besides censoring; "" where nothing does.
        death_is_event: whether death without metastasis is recoded to an event.
        true_risk: column of the simulation's truth that holds the probability of an event by five years.
    """

    name: OutcomeName
    event: str
    events: str
    had: str
    free: str
    survival: str
    incidence: str
    competing: str
    death_is_event: bool
    true_risk: str

    @property
    def definition(self) -> str:
        """What counts as an event and what does not, in sentences."""
        if self.death_is_event:
            return (
                "The event is the first of metastasis and death of any cause (metastasis-free survival). Nothing competes; "
                "only the end of follow-up censors. The predicted risk is one minus metastasis-free survival at the horizon."
            )
        return (
            "The event is the first metastasis; death without metastasis is a competing event. The predicted risk is the "
            "cumulative incidence of metastasis at the horizon. It is not one minus metastasis-free survival, which in "
            "oncology counts death as an event."
        )

    @property
    def note(self) -> str:
        """The definition for the head of a notebook, whose fixed text speaks of metastasis."""
        if self.death_is_event:
            return (
                f"**Outcome: metastasis-free survival.** {self.definition} Where the fixed text below says metastasis, read "
                "metastasis or death; figures and tables name the event."
            )
        return f"**Outcome: metastasis.** {self.definition}"

    @property
    def codes(self) -> dict[int, str]:
        """Words for the codes of ``mfs_event`` after :meth:`code`, the event first; censored is left out."""
        return {1: self.event} | ({2: self.competing} if self.competing else {})

    def code(self, patients: pd.DataFrame) -> pd.DataFrame:
        """Code ``mfs_event`` of patients.csv for this outcome.

        Args:
            patients: with ``mfs_event`` in {0, 1, 2, NaN} as the hospitals give it.

        Returns:
            A copy. Under ``mfs`` death without metastasis (2) has become the event (1).
        """
        event = patients["mfs_event"]
        return patients.assign(mfs_event=event.where(event != 2, 1.0) if self.death_is_event else event)

    def loss(self, chosen: str) -> str:
        """The loss to train with: a hazard for competing death exists only where death competes.

        Args:
            chosen: the parameter ``loss``.

        Returns:
            "hazard" in place of "competing_hazards" where nothing competes, otherwise what was chosen.
        """
        return "hazard" if not self.competing and chosen == "competing_hazards" else chosen

    def truth(self, patients: pd.DataFrame) -> pd.DataFrame:
        """The simulation's truth with the true risk of this outcome in the column ``risk_5y_true``, and no other."""
        wanted = patients[self.true_risk]
        return patients.drop(columns="mfs_risk_5y_true").assign(risk_5y_true=wanted)

    def to_dict(self) -> dict[str, str]:
        """What outcome.json holds."""
        return {"outcome": self.name, "definition": self.definition}


ENDPOINTS: Mapping[str, Endpoint] = {
    "metastasis": Endpoint(
        name="metastasis",
        event="metastasis",
        events="metastases",
        had="had a metastasis",
        free="free of metastasis",
        survival="freedom from metastasis, deaths censored",
        incidence="cumulative incidence of metastasis",
        competing="death without metastasis",
        death_is_event=False,
        true_risk="risk_5y_true",
    ),
    "mfs": Endpoint(
        name="mfs",
        event="metastasis or death",
        events="metastases or deaths",
        had="had a metastasis or died",
        free="alive without metastasis",
        survival="metastasis-free survival",
        incidence="probability of metastasis or death",
        competing="",
        death_is_event=True,
        true_risk="mfs_risk_5y_true",
    ),
}
METASTASIS = ENDPOINTS["metastasis"]


def endpoint_named(name: str) -> Endpoint:
    """The outcome of this name, with the words for it.

    Args:
        name: "metastasis" or "mfs", the parameter `outcome`.

    Returns:
        The endpoint.

    Raises:
        SarcnetError: there is none.
    """
    if name not in ENDPOINTS:
        raise SarcnetError(f"outcome is '{name}': choose {' or '.join(ENDPOINTS)}.")
    return ENDPOINTS[name]


def read_endpoint(path: Path) -> Endpoint:
    """The outcome for which a cohort's tables were coded.

    Args:
        path: outcome.json beside them.

    Returns:
        The endpoint.

    Raises:
        SarcnetError: the file is missing, is no JSON or names no outcome.
    """
    try:
        return endpoint_named(str(json.loads(path.read_text(encoding="utf-8"))["outcome"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SarcnetError(
            f"{path.name} cannot be read ({error}), so it is not known which event the tables beside it count: run "
            "00_cohort again, and create a hospital's folder again."
        ) from error
