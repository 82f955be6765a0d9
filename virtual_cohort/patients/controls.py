"""Cohorts in which something must *not* be found: a method that finds it all the same is wrong.

- `no_signal`: each slide shows the tumour of another patient of the same hospital and series. Clinical variables and
  outcomes are untouched, so the slide says nothing: an image model must be a coin, and image and clinic together must
  not beat the clinic.
- `shuffled`: outcomes are dealt anew among the patients of a hospital and series. Nothing predicts them; only the
  oracle, whose true risk moved along, still does.
- `confounded`: training slides of patients with a metastasis within five years were stained more strongly, as if one
  technician had handled the referrals; validation slides were not. Cross-validation is flattered, validation is not.

Permuting the outcome, and breaking the link between image and label, are the usual negative controls (Ojala and
Garriga, Journal of Machine Learning Research 2010).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from sarcnet.cohort.settings import Control
from virtual_cohort.patients.pathology import Look
from virtual_cohort.patients.simulate import HORIZON_YEARS, VirtualPatients

CONFOUNDED_STRENGTH = 1.3  # of the stain of confounded slides, relative; beyond the spread of batches (about 0.1)
OUTCOME = ("mfs_months", "mfs_event")
FATE = ("linear_predictor", "risk_5y_true", "mfs_risk_5y_true", "metastasis_years", "death_years")


def controlled(patients: VirtualPatients, *, control: Control, generator: np.random.Generator) -> VirtualPatients:
    """The patients of one centre and series under a control; `none` and `confounded` leave the tables as they are."""
    if control not in ("no_signal", "shuffled"):
        return patients
    order = generator.permutation(len(patients.truth))
    if control == "no_signal":
        return replace(patients, truth=_dealt(patients.truth, columns=list(Look.__dataclass_fields__), order=order))
    return VirtualPatients(
        table=_dealt(patients.table, columns=list(OUTCOME), order=order),
        truth=_dealt(patients.truth, columns=list(FATE), order=order),
    )


def stain_strength(patients: VirtualPatients, *, control: Control) -> np.ndarray:
    """(n,) how strongly each patient's slides are stained, 1 being usual."""
    truth, training = patients.truth, (patients.table["series"] == "training").to_numpy()
    early = (truth["metastasis_years"] <= HORIZON_YEARS) & (truth["metastasis_years"] <= truth["death_years"])
    confounded = early.to_numpy() & training if control == "confounded" else np.zeros(len(truth), bool)
    return np.where(confounded, CONFOUNDED_STRENGTH, 1.0)


def _dealt(table: pd.DataFrame, *, columns: list[str], order: np.ndarray) -> pd.DataFrame:
    """`table` with the rows of some columns in another order."""
    return table.assign(**{name: table[name].to_numpy()[order] for name in columns})
