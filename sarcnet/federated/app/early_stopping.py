"""Early stopping in a federation: every hospital watches its own stopping patients, the server stops on the sum.

As in a pooled training (`sarcnet.model.training.early_stopping`) part of each member's training patients trains nothing.
They are drawn within each hospital by a generator of member and hospital, so a hospital alone picks the patients that a
pooled study would pick of it. With its training it sends, per member, the sum S_ke of their losses, seen in the round's
last local epoch, and their number m_ke. The server's

    L_e = Σ_k S_ke / Σ_k m_ke

is what the pooled training looks at after an epoch, a round taking the epoch's place: each member keeps the averaged
weights of its own best round, none after the first in which it has not improved for `patience` rounds counts, and the
rounds end when that holds for all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from sarcnet.federated.app.checkpoint import FinishedRound
from sarcnet.federated.hospital_folder import Hospital
from sarcnet.model.crossval import make_members
from sarcnet.model.protocol import Protocol
from sarcnet.model.training.early_stopping import BestEpochs, split_for_stopping

Arrays = dict[str, np.ndarray]

#: Names of (E,) arrays: what a hospital tells, and what the server keeps of a finished round.
LOSS, PATIENTS = "stopping_loss", "stopping_patients"


class AllStopped(Exception):
    """No member would keep a later round."""


def split_hospital(hospital: Hospital, *, protocol: Protocol) -> tuple[Hospital, np.ndarray | None]:
    """The hospital with its training patients only, and (n, E) 0/1, which of its patients decide; None without early
    stopping."""
    share, members = protocol.early_stopping_share, make_members("", folds=protocol.folds, repeats=protocol.repeats)
    if not share:
        return hospital, None
    training, stopping = split_for_stopping(
        hospital.weights, hospital.patients, members=members, share=share, seed=protocol.seed
    )
    return dataclasses.replace(hospital, weights=training), stopping


def stopping_sums(hospital: Hospital, stopping: np.ndarray, *, mean: np.ndarray) -> Arrays:
    """What a hospital tells. mean: (E,) mean loss of its stopping patients whose outcome says anything, NaN if none."""
    outcome = hospital.patients.outcome
    known = (outcome.at_risk + outcome.event).sum(axis=1, keepdims=True) > 0  # (n, 1)
    n = (stopping * known).sum(axis=0, dtype=np.float64)  # (E,)
    return {LOSS: np.where(n > 0, n * mean, 0.0), PATIENTS: n}


def mean_loss(told: Sequence[Arrays]) -> Arrays:
    """The server's {LOSS: (E,)} float64 from what each hospital told; NaN for a member who has nobody to decide."""
    total, n = (np.sum([own[name] for own in told], axis=0) for name in (LOSS, PATIENTS))
    return {LOSS: np.where(n > 0, total / np.maximum(n, 1.0), np.nan)}


def best_rounds(finished: Sequence[FinishedRound], *, patience: int) -> BestEpochs:
    """Every member's best round among those on disk, the first being number 0; a resumed run finds the same."""
    first = finished[0].arrays
    best = BestEpochs(_tensors(first), members=len(next(iter(first.values()))), patience=patience)
    for number, ended in enumerate(finished):
        loss = torch.from_numpy(ended.memory[LOSS].astype(np.float32))
        best.look(_tensors(ended.arrays), loss=loss, epoch=number)
    return best


def kept_arrays(finished: Sequence[FinishedRound], *, patience: int) -> Arrays:
    """name → (E, ...) float32: each member's weights after its best round."""
    return {name: w.numpy() for name, w in best_rounds(finished, patience=patience).weights.items()}


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
