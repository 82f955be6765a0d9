"""Predictions of a stack, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sarcnet.model.clinical import clinical_columns
from sarcnet.model.crossval import Member, out_of_fold
from sarcnet.model.hazard import risk
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import PatientBatches, Patients, all_tiles
from sarcnet.model.protocol import Protocol, build_stack


@dataclass(frozen=True)
class TrainedStack:
    """A model ready to predict: the protocol it was trained under, its members, its network."""

    protocol: Protocol
    members: tuple[Member, ...]
    network: StackedNetwork


def copy_network(model: TrainedStack) -> StackedNetwork:
    """A second network with the model's weights and standardisation, ready to be changed."""
    network = build_stack(model.protocol, members=model.members)
    network.load_state_dict(model.network.state_dict())
    return network


def _batches(patients: Patients, stack: StackedNetwork) -> PatientBatches:
    weights = np.zeros((len(patients), stack.shape.members), np.float32)
    return PatientBatches(patients, weights=weights, seed=0, image=stack.shape.image)


def predict_scores(stack: StackedNetwork, patients: Patients) -> np.ndarray:
    """(n, E) float32: score η of each patient under each member; all tiles are used."""
    with torch.no_grad():
        scores = [stack(b["tiles"], b["mask"], b["clinical"]) for b in all_tiles(_batches(patients, stack))]
    return torch.cat(scores).numpy() if scores else np.zeros((0, stack.shape.members), np.float32)


def predict_risks(model: TrainedStack, patients: Patients) -> np.ndarray:
    """(n, E): cumulative incidence of metastasis by the horizon under each member; its mean over members (axis 1) is the
    risk of new patients."""
    return scores_to_risks(model, predict_scores(model.network, patients), clinical=patients.clinical)


def predict_out_of_fold(model: TrainedStack, patients: Patients, *, folds: pd.DataFrame) -> pd.DataFrame:
    """Predict every patient by the members that were not trained on that patient.

    Args:
        model: the trained stack.
        patients: n patients.
        folds: of these patients (patient_id, repeat, fold).

    Returns:
        patient_id, centre, model, repeat, fold, risk: one row per patient and repeat.
    """
    risks = predict_risks(model, patients)
    return out_of_fold(
        risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=model.members
    )


def scores_to_risks(
    model: TrainedStack, scores: np.ndarray, *, clinical: np.ndarray | None = None, horizon_months: float | None = None
) -> np.ndarray:
    """Risks from scores; a higher score is a higher risk.

    Args:
        model: the stack that gave the scores.
        scores: (n, E).
        clinical: (n, p) of the same patients, on which their risk to die of something else depends; None: that of the
            average training patient. Without competing death it has no part.
        horizon_months: one of the edges of the hazard's intervals; None: that of the protocol.

    Returns:
        (n, E) cumulative incidence of metastasis by the horizon.
    """
    network = model.network
    with torch.no_grad():
        competing = network.shape.competing_death
        values = risk(
            torch.from_numpy(scores),
            log_odds=network.log_odds,
            edges_months=model.protocol.hazard_edges_months,
            horizon_months=model.protocol.horizon_months if horizon_months is None else horizon_months,
            death_score=None if clinical is None else network.death_score(torch.from_numpy(clinical)),
            death_log_odds=network.death_log_odds if competing else None,
        )
    return values.numpy()


def image_score_sums(
    stack: StackedNetwork, patients: Patients, *, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(E,) sum of the image scores over each member's training patients with tiles, and (E,) their number; both add over
    hospitals."""
    total = np.zeros(stack.shape.members)
    has_tiles = (patients.bags.sizes > 0)[:, None] * weights.astype(np.float64)  # (n, E)
    with torch.no_grad():
        for b in all_tiles(_batches(patients, stack)):
            image = stack.image_score(b["tiles"], b["mask"]).numpy()  # (B, E)
            total += (image.astype(np.float64) * has_tiles[b["index"].numpy()]).sum(axis=0)
    return total, has_tiles.sum(axis=0)


@dataclass(frozen=True)
class Contributions:
    """Exact parts of the scores η of n patients, means over the chosen members.

    Attributes:
        tiles: one row per tile: patient_id, slide_id, tile, x_px, y_px, attention, contribution a_t (w·h_t - r).
        clinical: one row per patient and column: patient_id, column, contribution v_j ĉ_j.
        scores: one row per patient: patient_id, image (sum of the tiles), clinical (sum of the columns), score = image +
            clinical.
    """

    tiles: pd.DataFrame
    clinical: pd.DataFrame
    scores: pd.DataFrame


def contributions(model: TrainedStack, patients: Patients, *, use: np.ndarray | None = None) -> Contributions:
    """Split each patient's score into tiles and clinical columns, in the forward pass that predicts.

    The parts of a patient sum to the (mean) score of this patient: scores average linearly, risks of single members do
    not.

    Args:
        model: an additive stack.
        patients: n patients.
        use: (n, E) weights of the members for each patient, for instance 1 for the members that left the patient out
            (`crossval.fold_matrix(...) == 1`); the mean with these weights is taken. Default: all members alike.

    Returns:
        The parts.

    Raises:
        SarcnetError: the score is not a sum (`StackedNetwork.additive`).
    """
    stack = model.network
    n, members = len(patients), stack.shape.members
    chosen = np.ones((n, members)) if use is None else np.asarray(use, dtype=float)
    share = torch.from_numpy((chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32))
    tile, attention, clinical = [], [], []
    with torch.no_grad():
        for b in all_tiles(_batches(patients, stack)):
            parts = stack.parts(b["tiles"], b["mask"], b["clinical"])
            s = share[b["index"]]  # (B, E)
            real = b["mask"].numpy()
            tile.append(torch.einsum("bte,be->bt", parts.tile, s).numpy()[real])
            attention.append(torch.einsum("bte,be->bt", parts.attention, s).numpy()[real])
            clinical.append(torch.einsum("bep,be->bp", parts.clinical, s).numpy())
    columns = clinical_columns(model.protocol.clinical_variables)
    ids = np.asarray(patients.patient_ids, dtype=object)
    tiles = _tile_frame(patients, tile, attention, has_image=stack.shape.image)
    values = np.concatenate(clinical)  # (n, p)
    long = pd.DataFrame(
        {"patient_id": np.repeat(ids, len(columns)), "column": np.tile(columns, n), "contribution": values.ravel()}
    )
    image = tiles.groupby("patient_id")["contribution"].sum().reindex(ids).fillna(0.0).to_numpy() if len(tiles) else 0.0
    total = values.sum(axis=1)
    scores = pd.DataFrame({"patient_id": ids, "image": image, "clinical": total, "score": image + total})
    return Contributions(tiles, long, scores)


def _tile_frame(
    patients: Patients, tile: Sequence[np.ndarray], attention: Sequence[np.ndarray], *, has_image: bool
) -> pd.DataFrame:
    frame = patients.bags.tiles.reset_index(drop=True).copy()
    frame.insert(0, "patient_id", np.repeat(np.asarray(patients.patient_ids, dtype=object), patients.bags.sizes))
    if not has_image:
        return frame.iloc[:0].assign(attention=0.0, contribution=0.0)
    return frame.assign(attention=np.concatenate(attention), contribution=np.concatenate(tile))
