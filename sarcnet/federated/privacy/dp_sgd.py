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

import secrets
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor
from torch.func import functional_call, grad, vmap

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.hospital_folder import Hospital
from sarcnet.federated.privacy.accountant import Spent, spent
from sarcnet.federated.privacy.clipping import Arrays, add_noise, by_member, clip
from sarcnet.federated.strategies import StrategyConfig
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Batch, PatientBatches, Patients, all_tiles


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
    total = add_noise(total, std=noise_multiplier * clip_norm, seed=seed, names=("patient noise", *names))
    n = np.maximum(weights.sum(axis=0, dtype=np.float64), 1.0)  # (E,)
    now = stack.parameter_arrays()
    stack.load_parameter_arrays(
        {k: a - step_length * (total[k] / by_member(n, a.ndim)).astype(np.float32) for k, a in now.items()}
    )


def train_privately(
    stack: StackedNetwork,
    hospital: Hospital,
    *,
    strategy: StrategyConfig,
    epochs: range,
    node_config: Mapping[str, object],
) -> Spent | None:
    """A round at the hospital, in place: one private step for each of the epochs, numbered from the training's first.

    Returns what this hospital's patients have spent since then, None without noise; releases of other trainings are the
    hospital's to add. node_config, the hospital's own and out of the server's reach: ``noise-secret``, the seed of its
    noise (drawn by the operating system where it is not set, as it should be), and ``epsilon-max``, the most it will
    spend in one training. Raises SarcnetError before anything is computed when a round would go beyond that.
    """
    used = None
    if strategy.patient_noise:
        used = spent(
            noise_multiplier=strategy.patient_noise, releases=epochs.stop, delta=strategy.delta, unit="patient"
        )
    limit = float(str(node_config.get("epsilon-max", "inf")))
    if (used.epsilon if used else np.inf) > limit:
        raise SarcnetError(
            f"This round would bring the patients' ε to {used.epsilon if used else np.inf:.3g} (δ = {strategy.delta:g}), "
            f"and this hospital's limit, epsilon-max, is {limit:g}: train fewer rounds or with more patient_noise."
        )
    secret = int(str(node_config.get("noise-secret", secrets.randbits(63))))
    for epoch in epochs:
        private_step(
            stack,
            hospital.patients,
            weights=hospital.weights,
            clip_norm=strategy.patient_clip,
            noise_multiplier=strategy.patient_noise,
            step_length=strategy.step_length,
            seed=secret,
            names=(hospital.centre, epoch + 1),
        )
    return used
