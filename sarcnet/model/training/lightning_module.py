"""Training a stack with Lightning.

The same function trains pooled, at one hospital alone and for a few local epochs of a federated round.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.progress import track
from sarcnet.model.losses import cox_loss, patient_loss
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Batch, PatientBatches, Patients, training_loader
from sarcnet.model.protocol import Protocol
from sarcnet.model.threads import one_thread
from sarcnet.model.training.early_stopping import BestEpochs

#: Weights that nothing pulls to 0: the baselines, the few of the clinic, and the last ones of a hidden fusion.
UNDECAYED = ("log_odds", "clinical_weight", "death_log_odds", "fusion_score")


class StackTraining(pl.LightningModule):
    """Trains all members of a stack at once: their losses are added up, and as no member shares a weight with another,
    the gradient of the sum is each member's own gradient.

    The loss of a member is the mean negative log-likelihood of its training patients in the batch. Nothing may couple
    members: no clipping by global norm, no batch statistics, one optimiser state per weight. After the last epoch `stack`
    holds the trained weights: with early stopping those of each member's best epoch.
    """

    def __init__(
        self,
        stack: StackedNetwork,
        *,
        protocol: Protocol,
        what: str = "",
        epochs: int = 0,
        stopping: np.ndarray | None = None,
        keep_best: bool = True,
        after_epoch: Callable[[int, StackedNetwork], None] | None = None,
    ) -> None:
        super().__init__()
        self.after_epoch = after_epoch
        self.stopping = None if stopping is None else torch.from_numpy(stopping.astype(np.float32))
        parameters, members = dict(stack.named_parameters()), stack.shape.members
        self.best = (
            BestEpochs(parameters, members=members, patience=protocol.patience)
            if stopping is not None and keep_best
            else None
        )
        self.stack, self.protocol = stack, protocol
        self.progress = iter(track(range(epochs), total=epochs, what=what)) if what else iter(())
        self.losses: list[np.ndarray] = []  # of each epoch (3, E): training, held-out and stopping patients
        self.sums = torch.zeros(6, stack.shape.members)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        score = self.stack(batch["tiles"], batch["mask"], batch["clinical"])  # (B, E)
        weight = batch["weight"]  # (B, E)
        if self.protocol.loss == "cox":
            loss = cox_loss(score, months=batch["months"], cause=batch["cause"], weight=weight)  # (B, E)
        else:
            loss = patient_loss(score, batch=batch, stack=self.stack)
        known = ((batch["at_risk"] + batch["event"]).sum(dim=1, keepdim=True) > 0).float()  # (B, 1)
        stopping = torch.zeros_like(weight) if self.stopping is None else self.stopping[batch["index"]] * known
        held_out = (1 - weight - stopping).clamp(min=0) * known
        watched = loss.detach()
        self.sums += torch.stack(
            [row for of in (weight, held_out, stopping) for row in ((of * watched).sum(0), of.sum(0))]
        )
        return ((weight * loss).sum(dim=0) / weight.sum(dim=0).clamp(min=1.0)).sum()

    def on_train_epoch_start(self) -> None:
        self.sums.zero_()
        next(self.progress, None)

    def on_train_epoch_end(self) -> None:
        losses = torch.where(self.sums[1::2] > 0, self.sums[::2] / self.sums[1::2], torch.nan)  # (3, E)
        self.losses.append(losses.numpy().copy())
        if self.best is not None:
            self.best.look(dict(self.stack.named_parameters()), loss=losses[2], epoch=self.current_epoch)
            self.trainer.should_stop = bool(self.best.stopped.all())
        if self.after_epoch is not None:
            self.after_epoch(len(self.losses), self.stack)

    def on_train_end(self) -> None:
        next(self.progress, None)
        if self.best is not None:
            self.best.restore(dict(self.stack.named_parameters()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Weight decay for the image branch alone: it has thousands of weights, the clinical branch and the baseline few.

        The embedding of the tiles learns more slowly than the rest: with its many correlated inputs it would fit single
        patients.
        """
        rate, decay = self.protocol.learning_rate, self.protocol.weight_decay
        slow = rate * self.protocol.embedding_rate
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.stack.named_parameters():
            if name == "tile_weight":
                key = (slow, decay * rate / slow)  # the same pull per step as the other weights
            elif name.endswith(("bias", "gain")) or name.startswith("rank") or name in UNDECAYED:
                key = (rate, 0.0)
            else:
                key = (rate, decay)
            groups.setdefault(key, []).append(parameter)
        options = [{"params": p, "lr": lr, "weight_decay": wd} for (lr, wd), p in groups.items()]
        if self.protocol.optimizer == "sgd":
            return torch.optim.SGD(options)
        return torch.optim.AdamW(options, fused=True)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning greets every Trainer with lines on GPUs and workers.

    A stack trains on the CPU from arrays in memory, so they say nothing here.
    """
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 against torch 2.13
            yield
    finally:
        log.setLevel(level)


def fit(
    stack: StackedNetwork,
    patients: Patients,
    *,
    weights: np.ndarray,
    protocol: Protocol,
    epochs: int | None = None,
    first_epoch: int = 0,
    what: str = "",
    stopping: np.ndarray | None = None,
    keep_best: bool = True,
    after_epoch: Callable[[int, StackedNetwork], None] | None = None,
) -> pd.DataFrame:
    """Train a stack in place and return its learning curves.

    The order of batches and the tiles shown depend on the protocol's seed, the epoch's number and the list of patients,
    never on the weights, so a member trains the same alone and in a stack. It trains on one thread
    (`sarcnet.model.threads`).

    Args:
        stack: the networks, at their starting weights or as an earlier call left them.
        patients: n patients that the loader shows; give one hospital's own to train there.
        weights: (n, E), 1 where patient i trains member e, else 0 (no part in that member's loss, which is watched only).
        protocol: learning rate, weight decay, batch size, loss, seed.
        epochs: passes over the patients; default the protocol's.
        first_epoch: number of the first epoch (round · local_epochs in a federation).
        what: words for the progress line; empty shows none.
        stopping: (n, E), 1 where patient i, of weight 0, decides when member e stops
            (`sarcnet.model.training.early_stopping`); each member then keeps its best epoch, and training ends when none
            has improved for the protocol's patience.
        keep_best: False only watches their loss, where somebody else decides (a federation's server).
        after_epoch: called with the number of epochs done and the stack as it is then, to look and not to change.

    Returns:
        epoch, member, training_loss, heldout_loss, stopping_loss (mean loss per patient during the epoch; held-out patients
        are those of weight 0 with an outcome who decide nothing; NaN if none), kept (True in the epoch whose weights the
        member has).

    Raises:
        SarcnetError: a member has no training patient, or the loss is NaN or infinite.
    """
    epochs = protocol.epochs if epochs is None else epochs
    module = StackTraining(
        stack,
        protocol=protocol,
        what=what,
        epochs=epochs,
        stopping=stopping,
        keep_best=keep_best,
        after_epoch=after_epoch,
    )
    loader = loader_for(stack, patients, weights=weights, protocol=protocol, first_epoch=first_epoch)
    with _quiet_lightning(), one_thread():
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
    return learning_curves(module, first_epoch=first_epoch)


def loader_for(
    stack: StackedNetwork, patients: Patients, *, weights: np.ndarray, protocol: Protocol, first_epoch: int = 0
) -> DataLoader[Batch]:
    """The batches of patients that all members of a stack share (arguments as in :func:`fit`).

    Raises:
        SarcnetError: `weights` has not one number for each pair, or a member has no training patient.
    """
    if weights.shape != (len(patients), stack.shape.members):
        raise SarcnetError(
            f"weights is {weights.shape} for {len(patients)} patients and {stack.shape.members} members: "
            "give one number for each pair."
        )
    if not weights.any(axis=0).all():
        empty = np.flatnonzero(~weights.any(axis=0)).tolist()
        raise SarcnetError(
            f"Members {empty} have no training patient: lower folds, or leave out the hospital they belong to."
        )
    batches = PatientBatches(
        patients, weights=weights, seed=protocol.seed, tiles_per_bag=protocol.tiles_per_bag, image=stack.shape.image
    )
    return training_loader(batches, batch_patients=protocol.batch_patients, first_epoch=first_epoch)


def learning_curves(module: StackTraining, *, first_epoch: int = 0) -> pd.DataFrame:
    """Losses by epoch and member of a module that was trained, as :func:`fit` returns them."""
    losses = np.stack(module.losses)  # (epochs, 3, E)
    epochs, _, members = losses.shape
    kept = np.full(members, epochs - 1) if module.best is None else module.best.kept.numpy()
    epoch, member = np.repeat(np.arange(epochs), members), np.tile(np.arange(members), epochs)
    names = ("training_loss", "heldout_loss", "stopping_loss")
    columns = {name: losses[:, i].ravel() for i, name in enumerate(names)}
    curves = pd.DataFrame({"epoch": epoch + first_epoch, "member": member, **columns, "kept": epoch == kept[member]})
    diverged = curves.loc[~np.isfinite(curves["training_loss"]), "epoch"]
    if len(diverged):
        raise SarcnetError(
            f"Training diverged: the loss is NaN or infinite in epoch {diverged.min()}. Lower learning_rate "
            f"({module.protocol.learning_rate:g})."
        )
    return curves
