"""SCAFFOLD's control variates: what a hospital adds to its steps so that they point where everybody's would.

Where hospitals differ, each one's steps lead away from the common optimum, and averaging does not bring them back. In
SCAFFOLD (Karimireddy et al., ICML 2020, algorithm 1) hospital k keeps c_k, the gradient of its loss at the weights it
received a round ago, the server keeps their mean c by patients, and each gradient g of a step at home becomes

    g - c_k + c.

c_k is renewed by option I of the paper, the gradient at the received weights over all own patients and tiles, which
holds for any optimiser; option II is derived for plain steps of one length, and SarcNet takes AdamW's steps of two. With
AdamW the correction enters before the gradient is scaled; what the paper proves, it proves for plain steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from flwr.app import Context, RecordDict
from torch import Tensor, nn

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.records import from_record, to_record
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import PatientBatches, Patients, all_tiles

Arrays = dict[str, np.ndarray]

#: Where a hospital keeps its c_k between rounds: in the state Flower holds for it, on its own machine.
OWN = "own_control"


@contextmanager
def corrected(network: nn.Module, *, by: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Within the block the gradient of the parameter of this name gets ``by`` added, of the parameter's shape."""
    handles = [
        parameter.register_post_accumulate_grad_hook(_Shift(torch.from_numpy(by[name].astype(np.float32))))
        for name, parameter in network.named_parameters()
        if name in by
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Shift:
    def __init__(self, by: Tensor) -> None:
        self.by = by

    def __call__(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad.add_(self.by)


def mean_gradient(stack: StackedNetwork, patients: Patients, *, weights: np.ndarray) -> Arrays:
    """name → (E, ...): gradient of each member's mean loss over its patients here, all tiles shown. weights: (n, E)."""
    named = dict(stack.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    n = torch.from_numpy(np.maximum(weights.sum(axis=0), 1.0).astype(np.float32))  # (E,)
    for batch in all_tiles(PatientBatches(patients, weights=weights, seed=0, image=stack.shape.image)):
        loss = patient_loss(stack(batch["tiles"], batch["mask"], batch["clinical"]), batch=batch, stack=stack)
        part = ((batch["weight"] * loss).sum(dim=0) / n).sum()
        for name, g in zip(named, torch.autograd.grad(part, list(named.values()), materialize_grads=True), strict=True):
            total[name] += g
    return {name: g.numpy() for name, g in total.items()}


def correction(content: RecordDict, context: Context) -> Arrays:
    """c - c_k, float64, or nothing in the first round, when the server has no c to send.

    c_k is the hospital's own, of its last round; after a run that was broken off the server sends it back. Raises
    SarcnetError when it is in neither place.
    """
    records = content.array_records
    if "control" not in records:
        return {}
    kept = records.get(OWN) or context.state.array_records.get(OWN)
    if kept is None:
        raise SarcnetError(
            "This node was started anew since its last round and has lost SCAFFOLD's control variate: run again, and "
            "the server sends back the one of the last finished round."
        )
    mean, own = from_record(records["control"]), from_record(kept)
    return {name: mean[name].astype(np.float64) - own[name].astype(np.float64) for name in mean}


def keep_control(control: Arrays, context: Context) -> None:
    """Remember this round's c_k for the next."""
    context.state[OWN] = to_record(control)
