"""Predictions for patients by the members that were not trained on them."""

from __future__ import annotations

import pandas as pd

from sarcnet.model.crossval import out_of_fold
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_risks
from sarcnet.model.protocol import build_stack


def copied(model: TrainedStack) -> StackedNetwork:
    """A network of its own with the model's weights and standardisation, ready to be changed."""
    network = build_stack(model.protocol, members=model.members)
    network.load_state_dict(model.network.state_dict())
    return network


def predict_out_of_fold(model: TrainedStack, patients: Patients, *, folds: pd.DataFrame) -> pd.DataFrame:
    """Every patient by the members that left him out: patient_id, centre, model, repeat, fold, risk."""
    risks = predict_risks(model, patients)
    return out_of_fold(
        risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=model.members
    )
