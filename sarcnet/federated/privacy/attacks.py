"""What a model or an update gives away: two exercises, run on simulated patients only.

Membership: who has a patient's record asks whether the patient was trained on. The guess is the loss: trained patients
tend to have a lower one (Yeom et al., IEEE CSF 2018). In a cross-validation the held-out patients are the natural
comparison, as they come from the same hospitals.

Gradient inspection: who sees the update of a step on one patient reads the standardised clinical variables off it,
exactly, as the gradient of the weights that meet them is the error times the values, and the gradient of the bias
beside them is the error; of a sum over n patients only a weighted sum is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sarcnet.evaluation.metrics.auc import weighted_auc
from sarcnet.model.clinical import clinical_columns
from sarcnet.model.crossval import training_weights
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Batch, PatientBatches, Patients, all_tiles
from sarcnet.model.predict import TrainedStack

#: Fusion → the weights that the clinical values meet first, and the bias added to their product.
CLINIC_ENTERS = {
    "late": ("clinical_weight", "log_odds"),
    "concatenation": ("fusion_clinical_weight", "fusion_bias"),
    "gated": ("fusion_clinical_weight", "fusion_clinical_bias"),
}


@dataclass(frozen=True)
class Membership:
    """auc: chance that a trained patient has a lower loss than a held-out one (0.5 is a coin), over members;
    advantage: largest true minus false positive rate of any threshold; pairs: trained and held-out losses compared."""

    auc: float
    advantage: float
    trained: int
    heldout: int


def patient_losses(model: TrainedStack, patients: Patients) -> np.ndarray:
    """(n, E): every patient's negative log-likelihood under every member, all tiles shown."""
    stack, members = model.network, len(model.members)
    batches = PatientBatches(patients, weights=np.zeros((len(patients), members)), seed=0, image=stack.shape.image)
    with torch.no_grad():
        losses = [
            patient_loss(stack(b["tiles"], b["mask"], b["clinical"]), batch=b, stack=stack) for b in all_tiles(batches)
        ]
    return torch.cat(losses).numpy().astype(np.float64)


def attack_membership(model: TrainedStack, patients: Patients, *, folds: pd.DataFrame) -> Membership:
    """Guess from its loss whether a patient was trained on (Yeom et al., IEEE CSF 2018).

    Args:
        model: the trained networks, E members.
        patients: those of all hospitals, trained on and held out.
        folds: patient_id, repeat, fold: which patient trained which member.

    Returns:
        How often the guess is right, over all members.
    """
    trained = training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=model.members)
    return membership(patient_losses(model, patients), trained=trained)


def membership(losses: np.ndarray, *, trained: np.ndarray) -> Membership:
    """The loss attack, member by member, averaged. losses: (n, E); trained: (n, E) 1 trained on, 0 held out."""
    areas, advantages = [], []
    for own, inside in zip(losses.T, trained.T.astype(bool), strict=True):
        case, control = inside.astype(float)[None], (~inside).astype(float)[None]
        areas.append(float(weighted_auc(-own, case=case, control=control)[0]))
        thresholds = np.unique(own)
        true = (own[inside][:, None] <= thresholds).mean(axis=0)
        false = (own[~inside][:, None] <= thresholds).mean(axis=0)
        advantages.append(float((true - false).max(initial=0.0)))
    inside_all = int(trained.sum())
    return Membership(float(np.mean(areas)), float(np.mean(advantages)), inside_all, int(trained.size - inside_all))


def values_in_gradient(weight_gradient: np.ndarray, bias_gradient: np.ndarray) -> np.ndarray:
    """(p,): the clinical values a one-patient gradient gives away.

    weight_gradient: (p, f), ĉ_j · error_f; bias_gradient: (f,), error_f, of the f units that see the values. Every unit
    gives their ratio; together, by least squares, they give it even where some unit's error is 0.
    """
    return np.asarray(weight_gradient @ bias_gradient / (bias_gradient @ bias_gradient))


def inspect_gradient(model: TrainedStack, patients: Patients, *, row: int, group: int, member: int = 0) -> pd.DataFrame:
    """What onlookers read off the gradient of a single step.

    Args:
        model: the trained networks.
        patients: those of all hospitals.
        row: the patient.
        group: number of patients, this and those that follow, of a second step.
        member: the network.

    Returns:
        column, true, from_one and from_group, in standardised values: the patient's own, those read off a step taken on
        this patient alone, and off a step taken on the group.
    """
    rows = (row + np.arange(group)) % len(patients)
    weights = np.ones((len(patients), len(model.members)))
    batches = PatientBatches(patients, weights=weights, seed=0, image=model.network.shape.image)
    one, all_rows = batches[(-1, rows[:1])], batches[(-1, rows)]
    return pd.DataFrame(
        {
            "column": clinical_columns(model.protocol.clinical_variables),
            "true": model.network.standardise_clinical(one["clinical"])[0, member].numpy(),
            "from_one": values_in_gradient(*_where_clinic_enters(model.network, one, member=member)),
            "from_group": values_in_gradient(*_where_clinic_enters(model.network, all_rows, member=member)),
        }
    )


def _where_clinic_enters(stack: StackedNetwork, batch: Batch, *, member: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradients, (p, f) and (f,), of the weights that the clinical values meet first, and of the bias beside them."""
    weight, bias = CLINIC_ENTERS[stack.shape.fusion]
    loss = patient_loss(stack(batch["tiles"], batch["mask"], batch["clinical"]), batch=batch, stack=stack)
    met, beside = torch.autograd.grad(loss[:, member].sum(), [stack.get_parameter(weight), stack.get_parameter(bias)])
    if stack.shape.fusion == "late":  # one unit, whose bias is shared out over the hazard's intervals
        return met[member].numpy()[:, None], beside[member].sum()[None].numpy()
    return met[member].numpy() * math.sqrt(stack.shape.clinical_dim), beside[member].numpy()
