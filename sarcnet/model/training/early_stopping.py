"""Early stopping: part of a member's training patients trains nothing and says when to stop.

Prechelt, Early stopping, but when? (Neural Networks: Tricks of the Trade, 1998, doi 10.1007/3-540-49430-8_3). In a stack
all members go through the same epochs, but each keeps the weights of its own best epoch, and none after the first in
which it has not improved for `patience` epochs counts. So a member keeps the same weights alone and in a stack. The
patients of a member's held-out fold have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sarcnet.cohort.outcome import METASTASIS
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from sarcnet.model.crossval import Member
from sarcnet.model.patients import Patients


def deal_within(
    weights: np.ndarray, patients: Patients, *, members: Sequence[Member], parts: int, seed: int, name: str
) -> np.ndarray:
    """(n, E) int: part, 0 to parts - 1, of each training patient of each member; -1 for all others.

    Dealt within hospital and metastasis seen or not, so parts differ by at most one patient of each kind; drawn from a
    generator of the member, so that it is dealt alike alone and in any stack. weights: (n, E) 0/1.
    """
    centres, event = np.asarray(patients.centres), np.asarray(patients.outcome.cause) == METASTASIS
    part = np.full(weights.shape, -1)
    for e, member in enumerate(members):
        for centre in sorted(set(patients.centres)):
            generator = rng(seed, name, member.repeat, member.fold, centre)
            own = (weights[:, e] > 0) & (centres == centre)
            order = np.concatenate(
                [generator.permutation(np.flatnonzero(own & (event == kind))) for kind in (True, False)]
            )
            part[order, e] = np.arange(len(order)) % parts
    return part


def split_for_stopping(
    weights: np.ndarray, patients: Patients, *, members: Sequence[Member], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, E) training and (n, E) stopping patients, both float32 of 0 and 1, from the training patients `weights`.

    share: of the training patients that decide when to stop, one part in round(1 / share).
    """
    part = deal_within(weights, patients, members=members, parts=round(1 / share), seed=seed, name="stopping")
    return (part > 0).astype(np.float32), (part == 0).astype(np.float32)


class BestEpochs:
    """Each member's weights in its best epoch so far. stopped (E,): members that count no more; kept (E,): their epochs."""

    def __init__(self, parameters: Mapping[str, Tensor], *, members: int, patience: int) -> None:
        self.patience = patience
        self.loss = torch.full((members,), torch.inf)
        self.kept = torch.zeros(members, dtype=torch.long)
        self.waited = torch.zeros(members, dtype=torch.long)
        self.stopped = torch.zeros(members, dtype=torch.bool)
        self.weights = {name: p.detach().clone() for name, p in parameters.items()}

    def look(self, parameters: Mapping[str, Tensor], *, loss: Tensor, epoch: int) -> None:
        """After an epoch. loss (E,): mean over each member's stopping patients.

        Raises SarcnetError when a member has none with a known outcome.
        """
        if torch.isnan(loss).any():
            empty = torch.nonzero(torch.isnan(loss))[:, 0].tolist()
            raise SarcnetError(
                f"Members {empty} have no patient to decide when to stop: set early_stopping_share to 0, or lower folds."
            )
        better = ~self.stopped & (loss < self.loss)
        self.loss = torch.where(better, loss, self.loss)
        self.kept[better] = epoch
        self.waited = torch.where(better, 0, self.waited + 1)
        for name, p in parameters.items():
            self.weights[name][better] = p.detach()[better]
        self.stopped |= self.waited >= self.patience

    def restore(self, parameters: Mapping[str, Tensor]) -> None:
        """Set every member's weights to those of its best epoch."""
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(self.weights[name])
