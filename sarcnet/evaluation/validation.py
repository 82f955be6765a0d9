"""Predictions for the validation series: the only place of the evaluation that loads a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sarcnet.model.bags import read_bags
from sarcnet.model.patients import assemble_patients
from sarcnet.model.predict import predict_risks
from sarcnet.model.store import load_stack


def predict(
    stacks: Mapping[str, tuple[Path, Path]], patients: pd.DataFrame, *, slides: pd.DataFrame, feature_files: list[Path]
) -> pd.DataFrame:
    """Risks of stored stacks for patients that none of their members was trained on: the mean over all members.

    Args:
        stacks: for each model its weights and description, as notebooks 03 and 04 left them.
        patients: of the validation series.
        slides: slide_id and patient_id.
        feature_files: of all slides.

    Returns:
        patient_id, centre, model, risk.
    """
    if patients.empty:
        return pd.DataFrame(columns=["patient_id", "centre", "model", "risk"])
    wanted = set(slides.loc[slides["patient_id"].isin(patients["patient_id"]), "slide_id"])
    bags = read_bags(
        [path for path in feature_files if path.stem in wanted], slides=slides, patient_ids=list(patients["patient_id"])
    )
    made = []
    for model, (weights, description) in stacks.items():
        stack = load_stack(weights=weights, description=description)
        assembled = assemble_patients(
            patients,
            bags=bags,
            clinical_variables=stack.protocol.clinical_variables,
            hazard_edges_months=stack.protocol.hazard_edges_months,
        )
        risk = predict_risks(stack, assembled).mean(axis=1)
        made.append(patients[["patient_id", "centre"]].reset_index(drop=True).assign(model=model, risk=risk))
    return pd.concat(made, ignore_index=True)
