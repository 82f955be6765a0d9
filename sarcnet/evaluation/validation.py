"""Predictions for the validation series: the only place of the evaluation that loads a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.model.bags import read_bags
from sarcnet.model.patients import assemble_patients
from sarcnet.model.predict import predict_risks
from sarcnet.model.store import load_stack


def member_risks(
    stacks: Mapping[str, tuple[Path, Path]], patients: pd.DataFrame, *, slides: pd.DataFrame, feature_files: list[Path]
) -> dict[str, np.ndarray]:
    """Risks under every network of the stored models, for patients on whom none of them was trained.

    Args:
        stacks: for each model its weights and description, as notebooks 03 and 04 left them.
        patients: of the validation series.
        slides: slide_id and patient_id.
        feature_files: of all slides.

    Returns:
        By model, (n, E) risks of the n patients under E networks; empty without patients.
    """
    if patients.empty:
        return {}
    wanted = set(slides.loc[slides["patient_id"].isin(patients["patient_id"]), "slide_id"])
    bags = read_bags(
        [path for path in feature_files if path.stem in wanted], slides=slides, patient_ids=list(patients["patient_id"])
    )
    risks = {}
    for model, (weights, description) in stacks.items():
        stack = load_stack(weights=weights, description=description)
        assembled = assemble_patients(
            patients,
            bags=bags,
            clinical_variables=stack.protocol.clinical_variables,
            hazard_edges_months=stack.protocol.hazard_edges_months,
        )
        risks[model] = predict_risks(stack, assembled)
    return risks


def mean_risks(risks: Mapping[str, np.ndarray], patients: pd.DataFrame) -> pd.DataFrame:
    """The mean over the networks of each model: patient_id, centre, model, risk."""
    frame = patients[["patient_id", "centre"]].reset_index(drop=True)
    tables = [frame.assign(model=model, risk=values.mean(axis=1)) for model, values in risks.items()]
    return pd.concat(tables, ignore_index=True) if tables else frame.assign(model="", risk=0.0)
