"""Training with differential privacy for each patient, at the hospital, before anything is sent (local noise).

In a round the hospital takes one step on all its patients. Each patient's gradient of each member is scaled to an L2
norm of at most C (Abadi et al., CCS 2016), the gradients are added, and Gaussian noise of standard deviation z · C is
added to the sum *at the hospital*: the server, the other hospital and every onlooker see noised sums only. The step is

    θ ← θ - η (Σ_i clip(g_i) + z C ξ) / n

with n the number of patients, taken as public. The unit is the patient (adding or leaving out one changes a sum by at
most C); a round is one release of one member. A patient trains E - R of E members (R repeats), so who publishes the
whole stack of a cross-validation releases that many sums a round; one model for use is one member. The agreed
standardisation and the starting hazard are sums without noise and are *not* covered: fix them from public data where
they must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor
from torch.func import functional_call, grad, vmap

from sarcnet.compendium.seeds import rng
from sarcnet.federated.aggregate import clip, norms
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Batch, PatientBatches, Patients, all_tiles

Arrays = dict[str, np.ndarray]


def patient_gradients(stack: StackedNetwork, batch: Batch) -> dict[str, Tensor]:
    """name → (B, E, ...): gradient of every patient's own loss for every member; 0 where the patient does not train
    it."""
    weights = {name: p.detach() for name, p in stack.named_parameters()}

    def loss(values: Mapping[str, Tensor], one: Batch) -> Tensor:
        inputs = tuple(one[k][None] for k in ("tiles", "mask", "clinical"))
        score = functional_call(stack, dict(values), inputs)  # (1, E)
        own = patient_loss(score, batch={k: v[None] for k, v in one.items()}, stack=stack, values=values)
        return (own[0] * one["weight"]).sum()

    return dict(vmap(grad(loss), in_dims=(None, 0))(weights, batch))


def clipped_sum(stack: StackedNetwork, patients: Patients, *, weights: np.ndarray, clip_norm: float) -> Arrays:
    """name → (E, ...) float64: sum over patients of their clipped gradients. weights: (n, E) 0/1."""
    total = {name: np.zeros(tuple(p.shape)) for name, p in stack.named_parameters()}
    batches = PatientBatches(patients, weights=weights, seed=0, image=stack.shape.image)
    for batch in all_tiles(batches, batch_patients=8):
        gradients = {name: g.numpy().astype(np.float64) for name, g in patient_gradients(stack, batch).items()}
        for i in range(len(batch["index"])):
            one = clip({name: g[i] for name, g in gradients.items()}, norm=clip_norm)
            for name, g in one.items():
                total[name] += g
    return total


def noised(total: Arrays, *, std: float, seed: int, names: Sequence[str | int]) -> Arrays:
    """Gaussian noise on every number; drawn from the hospital's own generator of that name."""
    return {k: a + std * rng(seed, "patient noise", *names, k).normal(size=a.shape) for k, a in sorted(total.items())}


def private_step(
    stack: StackedNetwork,
    patients: Patients,
    *,
    weights: np.ndarray,
    clip_norm: float,
    noise_multiplier: float,
    step_length: float,
    seed: int,
    names: Sequence[str | int],
) -> None:
    """One step of the hospital, in place. seed: secret of the hospital, else the noise could be subtracted; names: for
    instance (hospital, round)."""
    total = clipped_sum(stack, patients, weights=weights, clip_norm=clip_norm)
    total = noised(total, std=noise_multiplier * clip_norm, seed=seed, names=names)
    n = np.maximum(weights.sum(axis=0, dtype=np.float64), 1.0)  # (E,)
    now = stack.parameter_arrays()
    stack.load_parameter_arrays(
        {
            k: a - step_length * (total[k] / n.reshape(-1, *[1] * (a.ndim - 1))).astype(np.float32)
            for k, a in now.items()
        }
    )


def longest_gradients(stack: StackedNetwork, patients: Patients, *, weights: np.ndarray) -> np.ndarray:
    """(n, E): L2 norm of every patient's gradient for every member, to choose C on *other* data."""
    found = []
    for batch in all_tiles(
        PatientBatches(patients, weights=weights, seed=0, image=stack.shape.image), batch_patients=8
    ):
        gradients = {name: g.numpy() for name, g in patient_gradients(stack, batch).items()}
        found += [norms({name: g[i] for name, g in gradients.items()}) for i in range(len(batch["index"]))]
    return np.stack(found)
