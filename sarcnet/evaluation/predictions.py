"""A series of patients with the risks that every model gives them: what all comparisons start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import Followup, with_outcome
from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.names.words import in_order


@dataclass(frozen=True)
class EvaluationSet:
    """n patients with known outcome, and for each model their risks in R repeats, (n, R), R being 1 where none exist."""

    name: str
    patients: pd.DataFrame
    risks: dict[str, np.ndarray]
    failures: tuple[str, ...] = ()  # a sentence for each model that was left out
    folds: np.ndarray | None = None  # (n, R) fold of each patient in each repeat, where risks are cross-validated

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def followup(self) -> Followup:
        """Months, event and centre of the patients."""
        return Followup.of(self.patients)

    def for_centre(self, centre: str) -> EvaluationSet:
        """The patients of one centre."""
        rows = (self.patients["centre"] == centre).to_numpy()
        risks = {model: values[rows] for model, values in self.risks.items()}
        return EvaluationSet(f"{self.name}, {centre}", self.patients[rows].reset_index(drop=True), risks)

    def with_centres(self) -> list[EvaluationSet]:
        """The series, followed by its hospitals where there are several."""
        centres = sorted(set(self.patients["centre"]))
        return [self, *(self.for_centre(centre) for centre in centres if len(centres) > 1)]

    @property
    def primary_model(self) -> str:
        """The model that the study is about: the federated SarcNet, or the first that there is in the tables' order."""
        return in_order(list(self.risks))[0]

    def with_risk(self, model: str) -> pd.DataFrame:
        """The patients with a column risk: the mean over the repeats."""
        return self.patients.assign(risk=self.risks[model].mean(axis=1))


def evaluation_set(name: str, patients: pd.DataFrame, predictions: pd.DataFrame) -> EvaluationSet:
    """Join patients and tidy predictions (patient_id, model, [repeat,] risk).

    A model that lacks a patient or predicts NaN for one is left out, with a sentence: on fewer patients it could not be
    compared in pairs.

    Args:
        name: name of the series, as in tables and sentences.
        patients: with mfs_months, mfs_event, centre; those without an outcome are left out.
        predictions: tidy table patient_id, model, [repeat, fold,] risk.

    Returns:
        The series; models that were left out are named in its `failures`.

    Raises:
        SarcnetError: no model has a risk for every patient; all reasons are listed.
    """
    known = with_outcome(patients)
    if "repeat" not in predictions:
        predictions = predictions.assign(repeat=0)
    risks, poor, folds = {}, [], None
    for model, rows in predictions.groupby("model", sort=False):
        wide = rows.pivot(index="patient_id", columns="repeat", values="risk").reindex(known["patient_id"])
        missing = wide.index[wide.isna().any(axis=1)]
        if len(missing):
            poor.append(f"{model} has no risk for {len(missing)} patients, the first of them {missing[0]}")
            continue
        risks[str(model)] = wide.to_numpy(float)
        if folds is None and "fold" in rows and (rows["fold"] >= 0).all():
            folds = rows.pivot(index="patient_id", columns="repeat", values="fold").loc[wide.index].to_numpy(int)
    if poor and not risks:
        raise SarcnetError(f"The {name} series cannot be evaluated: {'; '.join(poor)}.")
    failures = tuple(f"{name}: {reason}; the model is left out, the others are judged." for reason in poor)
    return EvaluationSet(name, known, risks, failures, folds)
