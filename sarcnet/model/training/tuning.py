"""Nested cross-validation: a setting is chosen by an inner cross-validation among the training patients alone.

For every outer member (repeat and fold) its training patients are dealt into INNER_FOLDS parts; a network is trained on
all but one, for every part and every value of the grid, and the value with the lowest loss on the parts left out is the
member's own. The outer held-out fold never takes part, so the outer predictions judge the whole procedure, choice included
(Varma & Simon, BMC Bioinformatics 2006, doi 10.1186/1471-2105-7-91). All inner networks of a value train as one stack.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from sarcnet.model.crossval import Member
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import PatientBatches, Patients, all_tiles
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.training.early_stopping import deal_within
from sarcnet.model.training.fitting import Trained, Variant, train_stack

INNER_FOLDS = 3


def patient_losses(stack: StackedNetwork, patients: Patients) -> np.ndarray:
    """(n, E): negative log-likelihood of every patient under every member, all tiles shown."""
    batches = PatientBatches(
        patients, weights=np.zeros((len(patients), stack.shape.members)), seed=0, image=stack.shape.image
    )
    with torch.no_grad():
        found = [
            patient_loss(stack(b["tiles"], b["mask"], b["clinical"]), batch=b, stack=stack) for b in all_tiles(batches)
        ]
    return torch.cat(found).numpy().astype(np.float64)


def inner_losses(
    protocol: Protocol, patients: Patients, *, weights: np.ndarray, members: Sequence[Member], variant: Variant
) -> np.ndarray:
    """(E,): mean loss of the protocol's setting on the parts left out within each member's training patients."""
    part = deal_within(weights, patients, members=members, parts=INNER_FOLDS, seed=protocol.seed, name="inner")
    inner = [member for member in members for _ in range(INNER_FOLDS)]
    number = np.tile(np.arange(INNER_FOLDS), len(members))[None]  # (1, E·J)
    mine = np.repeat(part, INNER_FOLDS, axis=1)  # (n, E·J)
    learning, judging = ((mine >= 0) & (mine != number)).astype(np.float32), mine == number
    trained = train_stack(protocol, patients, weights=learning, members=inner, variant=variant)
    losses = np.where(judging, patient_losses(trained.stack, patients), 0.0)
    summed, count = (a.sum(axis=0).reshape(len(members), INNER_FOLDS).sum(axis=1) for a in (losses, judging))
    return np.asarray(summed / np.maximum(count, 1))


def tune(
    protocol: Protocol, patients: Patients, *, weights: np.ndarray, members: Sequence[Member], variant: Variant
) -> pd.DataFrame:
    """Inner loss of every value of `weight_decay_grid` for every member: member, repeat, fold, weight_decay, inner_loss,
    chosen (True once a member)."""
    rows = []
    for value in protocol.weight_decay_grid:
        losses = inner_losses(
            dataclasses.replace(protocol, weight_decay=value),
            patients,
            weights=weights,
            members=members,
            variant=variant,
        )
        rows += [
            {"member": e, "repeat": m.repeat, "fold": m.fold, "weight_decay": value, "inner_loss": losses[e]}
            for e, m in enumerate(members)
        ]
    table = pd.DataFrame(rows).sort_values(["member", "weight_decay"], ignore_index=True)
    best = table.groupby("member")["inner_loss"].idxmin()
    return table.assign(chosen=table.index.isin(best))


def train_tuned(
    protocol: Protocol,
    patients: Patients,
    *,
    weights: np.ndarray,
    members: Sequence[Member],
    variant: Variant,
    tuning: pd.DataFrame,
    what: str = "",
) -> Trained:
    """Train every member on all its training patients with the value chosen for it."""
    chosen = tuning.loc[tuning["chosen"]].set_index("member")["weight_decay"]
    stack = build_stack(protocol, members=members, image=variant.image, clinical=variant.clinical)
    state, curves = stack.state_dict(), []
    for value in sorted(set(chosen)):
        own = chosen.index[chosen == value].to_numpy()
        trained = train_stack(
            dataclasses.replace(protocol, weight_decay=value),
            patients,
            weights=weights[:, own],
            members=[members[e] for e in own],
            variant=variant,
            what=f"{what}, weight_decay {value:g}" if what else "",
        )
        for name, tensor in trained.stack.state_dict().items():
            state[name][torch.from_numpy(own)] = tensor
        curves.append(trained.curves.assign(member=own[trained.curves["member"]]))
    stack.load_state_dict(state)
    return Trained(stack, pd.concat(curves).sort_values(["epoch", "member"], ignore_index=True))
