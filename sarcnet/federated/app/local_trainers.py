"""How a hospital trains the model it received: four trainers, of which the strategy names one.

plain     the training of the pooled model (`sarcnet.model.training.lightning_module`), for the local epochs of a round
FedProx   each step is also pulled towards the received weights: the term μ/2 ‖θ - θ_received‖² (Li et al., MLSys 2020)
          enters by its gradient μ (θ - θ_received)
SCAFFOLD  where hospitals differ, each one's steps lead away from the common optimum, and averaging does not bring them
          back. Hospital k keeps c_k, the gradient of its loss at the weights it received a round ago, the server keeps their
          mean c by patients, and each gradient g of a step at home becomes g - c_k + c (Karimireddy et al., ICML 2020,
          algorithm 1)
private   one clipped and noised step an epoch (`sarcnet.federated.privacy.dp_sgd`)

FedProx and SCAFFOLD add to each weight's gradient as it is computed, before the optimiser scales it; what the papers prove,
they prove for plain steps, and SarcNet takes AdamW's. SCAFFOLD's c_k is renewed by option I of the paper, the gradient at the
received weights over all own patients and tiles, which holds for any optimiser; option II is derived for plain steps of one
length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from torch import Tensor, nn

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.early_stopping import LOSS, stopping_sums
from sarcnet.federated.app.records import from_record, rounded, to_record
from sarcnet.federated.hospital_folder import Hospital
from sarcnet.federated.privacy.clipping import Arrays
from sarcnet.federated.privacy.dp_sgd import train_privately
from sarcnet.federated.strategies import StrategyConfig
from sarcnet.model.losses import patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import PatientBatches, Patients, all_tiles
from sarcnet.model.protocol import Protocol

if TYPE_CHECKING:
    import pandas as pd

#: Called with a parameter that has just got its gradient.
GradientHook = Callable[[Tensor], None]

#: Where a hospital keeps its c_k between rounds: in the state Flower holds for it, on its own machine.
OWN_CONTROL = "own_control"


@dataclass
class LocalTrainer:
    """Plain training of the received model in place, and the base of the other three.

    stack: the model as received; stopping: (n, E) 0/1, the patients who decide when to stop, or None; message: the server's,
    for what a strategy sends along; context: the node's state and configuration.
    """

    stack: StackedNetwork
    hospital: Hospital
    protocol: Protocol
    strategy: StrategyConfig
    stopping: np.ndarray | None
    message: Message
    context: Context

    def train(self, epochs: range) -> Arrays:
        """Train for these epochs, numbered from the training's first; returns (E,) losses of the last one by name."""
        # Lightning takes seconds to import, and of all questions only training needs it.
        from sarcnet.model.training.lightning_module import fit

        with hooked(self.stack, self.gradient_hooks()):
            curves = fit(
                self.stack,
                self.hospital.patients,
                weights=self.hospital.weights,
                protocol=self.protocol,
                epochs=len(epochs),
                first_epoch=epochs.start,
                stopping=self.stopping,
                keep_best=False,
            )
        losses = {name: _last(curves, name) for name in ("training_loss", "heldout_loss")}
        if self.stopping is not None:
            losses |= stopping_sums(self.hospital, self.stopping, mean=_last(curves, LOSS))
        return losses

    def gradient_hooks(self) -> list[tuple[str, GradientHook]]:
        """Names of parameters, and what is done to their gradients in every step."""
        return []

    def records(self) -> dict[str, ArrayRecord | MetricRecord]:
        """What leaves with the change, beside number of patients and losses."""
        return {}


class ProximalTrainer(LocalTrainer):
    """FedProx."""

    def gradient_hooks(self) -> list[tuple[str, GradientHook]]:
        strength = self.strategy.proximal
        return [(name, pull_to(p, strength)) for name, p in self.stack.named_parameters() if strength]


class ScaffoldTrainer(ProximalTrainer):
    """SCAFFOLD, with FedProx's pull where the strategy has both."""

    def train(self, epochs: range) -> Arrays:
        gradient = mean_gradient(self.stack, self.hospital.patients, weights=self.hospital.weights)
        self.control = rounded(gradient, dtype=str(self.message.content.config_records["config"]["message_dtype"]))
        return super().train(epochs)

    def gradient_hooks(self) -> list[tuple[str, GradientHook]]:
        """c - c_k, or nothing in the first round, when the server has no c to send.

        c_k is the hospital's own, of its last round; after a run that was broken off the server sends it back. Raises
        SarcnetError when it is in neither place.
        """
        records = self.message.content.array_records
        if "control" not in records:
            return super().gradient_hooks()
        own_record = records.get(OWN_CONTROL) or self.context.state.array_records.get(OWN_CONTROL)
        if own_record is None:
            raise SarcnetError(
                "This node was started again since its last round and has lost SCAFFOLD's control variate: run again, and "
                "the server sends back the one of the last finished round."
            )
        mean, own = from_record(records["control"]), from_record(own_record)
        shifts = [(k, shift_by(mean[k].astype(np.float64) - own[k].astype(np.float64))) for k in mean]
        return [*super().gradient_hooks(), *shifts]

    def records(self) -> dict[str, ArrayRecord | MetricRecord]:
        """c_k, which stays at the hospital for the next round as well."""
        self.context.state[OWN_CONTROL] = to_record(self.control)
        return {"control": to_record(self.control)}


class PrivateTrainer(LocalTrainer):
    """Differential privacy for each patient: no loss is told, as it would leave without noise."""

    def train(self, epochs: range) -> Arrays:
        self.spent = train_privately(
            self.stack, self.hospital, strategy=self.strategy, epochs=epochs, node_config=self.context.node_config
        )
        return {name: np.full(self.stack.shape.members, np.nan) for name in ("training_loss", "heldout_loss")}

    def records(self) -> dict[str, ArrayRecord | MetricRecord]:
        """What the patients have spent, where there is noise."""
        if self.spent is None:
            return {}
        names = ("epsilon", "delta", "releases", "noise_multiplier")
        return {"privacy": MetricRecord({name: getattr(self.spent, name) for name in names})}


def trainer_class(strategy: StrategyConfig) -> type[LocalTrainer]:
    """The trainer that a strategy names."""
    if strategy.patient_clip:
        return PrivateTrainer
    if strategy.control:
        return ScaffoldTrainer
    return ProximalTrainer if strategy.proximal else LocalTrainer


@contextmanager
def hooked(network: nn.Module, hooks: Iterable[tuple[str, GradientHook]]) -> Iterator[None]:
    """Within the block these hooks change the gradients of the parameters of their names."""
    parameters = dict(network.named_parameters())
    handles = [parameters[name].register_post_accumulate_grad_hook(hook) for name, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pull_to(parameter: Tensor, strength: float) -> GradientHook:
    """Adds ``strength`` (μ) times the weight's distance from where it is now."""
    start = parameter.detach().clone()

    def pull(parameter: Tensor) -> None:
        if parameter.grad is not None:
            with torch.no_grad():
                parameter.grad.add_(parameter - start, alpha=strength)

    return pull


def shift_by(by: np.ndarray) -> GradientHook:
    """Adds this array, of the parameter's shape."""
    shift = torch.from_numpy(by.astype(np.float32))

    def add(parameter: Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad.add_(shift)

    return add


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


def _last(curves: pd.DataFrame, name: str) -> np.ndarray:
    """(E,) losses of this name in the last epoch."""
    last = curves.loc[curves["epoch"] == curves["epoch"].max()].sort_values("member")
    return last[name].to_numpy(np.float64)
