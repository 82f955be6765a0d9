"""Predictions for the validation series: the only place of the evaluation that loads a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.model.bags import read_bags
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.predict import TrainedStack, predict_risks, predict_scores, scores_to_risks
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
    found = _assembled(stacks, patients, slides=slides, feature_files=feature_files)
    return {model: predict_risks(stack, assembled) for model, stack, assembled in found}


def risks_in_time(
    stacks: Mapping[str, tuple[Path, Path]], patients: pd.DataFrame, *, slides: pd.DataFrame, feature_files: list[Path]
) -> pd.DataFrame:
    """The models' own risks at each edge of their hazard's intervals up to the horizon; arguments as `member_risks`.

    Args:
        stacks: for each model its weights and description.
        patients: the patients, columns of patients.csv.
        slides: slide_id and patient_id.
        feature_files: of all slides.

    Returns:
        patient_id, centre, model, months, risk (the mean over the networks).
    """
    frames = [pd.DataFrame(columns=["patient_id", "centre", "model", "months", "risk"])]
    people = patients[["patient_id", "centre"]].reset_index(drop=True)
    for model, stack, assembled in _assembled(stacks, patients, slides=slides, feature_files=feature_files):
        scores = predict_scores(stack.network, assembled)
        for month in stack.protocol.hazard_edges_months:
            if month <= stack.protocol.horizon_months:
                risk = scores_to_risks(stack, scores, clinical=assembled.clinical, horizon_months=month).mean(axis=1)
                frames.append(people.assign(model=model, months=month, risk=risk))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _assembled(
    stacks: Mapping[str, tuple[Path, Path]], patients: pd.DataFrame, *, slides: pd.DataFrame, feature_files: list[Path]
) -> Iterator[tuple[str, TrainedStack, Patients]]:
    """Each model with the patients as it wants them; nothing without patients."""
    if patients.empty:
        return
    wanted = set(slides.loc[slides["patient_id"].isin(patients["patient_id"]), "slide_id"])
    bags = read_bags(
        [path for path in feature_files if path.stem in wanted], slides=slides, patient_ids=list(patients["patient_id"])
    )
    for model, (weights, description) in stacks.items():
        stack = load_stack(weights=weights, description=description)
        variables, edges = stack.protocol.clinical_variables, stack.protocol.hazard_edges_months
        yield (
            model,
            stack,
            assemble_patients(patients, bags=bags, clinical_variables=variables, hazard_edges_months=edges),
        )


def mean_risks(risks: Mapping[str, np.ndarray], patients: pd.DataFrame) -> pd.DataFrame:
    """The mean over the networks of each model: patient_id, centre, model, risk.

    Args:
        risks: by model, (n, E) risks of n patients under E networks.
        patients: the patients, columns of patients.csv.

    Returns:
        One row per patient and model.
    """
    frame = patients[["patient_id", "centre"]].reset_index(drop=True)
    tables = [frame.assign(model=model, risk=values.mean(axis=1)) for model, values in risks.items()]
    return pd.concat(tables, ignore_index=True) if tables else frame.assign(model="", risk=0.0)
