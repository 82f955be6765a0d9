"""Federated averaging, member by member.

    θ_e ← Σ_k (n_ke / Σ_j n_je) θ_ke

θ_ke are the weights of member e after hospital k trained them, n_ke the training patients member e has there (McMahan
et al., AISTATS 2017). Folds cut hospitals differently, so the weights of the mean differ from member to member. Sums
run in float64 and in the order of the hospitals' names: the result does not depend on who answered first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from sarcnet.federated.plan import FederationError, Plan
from sarcnet.federated.postbox import Postbox
from sarcnet.federated.records import from_record, instructions, to_record

Arrays = dict[str, np.ndarray]
OnRound = Callable[[int, Arrays, list[dict[str, object]]], None]


def weighted_mean(arrays: Iterable[Arrays], *, patients: Iterable[np.ndarray]) -> Arrays:
    """Mean over hospitals with each member's own weights. arrays: per hospital name → (E, ...); patients.

    Per hospital (E,). Returns float32.
    """
    n = np.stack([np.asarray(p, dtype=np.float64) for p in patients])  # (hospitals, E)
    share = n / n.sum(axis=0)  # (hospitals, E)
    hospitals = list(arrays)
    mean: Arrays = {}
    for name in hospitals[0]:
        total = np.zeros(hospitals[0][name].shape, dtype=np.float64)
        for own, part in zip(hospitals, share, strict=True):
            total += part.reshape(-1, *[1] * (total.ndim - 1)) * own[name].astype(np.float64)
        mean[name] = total.astype(np.float32)
    return mean


class MemberFedAvg(FedAvg):
    """Flower's FedAvg with the mean above, every hospital in every round, and a call after each round (for
    checkpoints).

    done: rounds already finished by an earlier run; standardisation: arrays that go with the model and are not
    trained.
    """

    def __init__(self, plan: Plan, *, standardisation: Arrays, done: int, on_round: OnRound) -> None:
        super().__init__(
            min_train_nodes=len(plan.hospitals), min_available_nodes=len(plan.hospitals), fraction_evaluate=0.0
        )
        self.plan, self.done, self.on_round = plan, done, on_round
        self.standardisation = to_record(standardisation)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """The model, its standardisation and the instructions for this round, the same for every hospital."""
        if not isinstance(grid, Postbox):
            raise TypeError("MemberFedAvg sends through a Postbox, so that every message is in the ledger.")
        grid.round = self.done + server_round
        config = instructions(
            self.plan.protocol, epochs=self.plan.local_epochs, first_epoch=(grid.round - 1) * self.plan.local_epochs
        )
        self.postbox = grid
        return grid.letters(
            "train", RecordDict({"arrays": arrays, "standardisation": self.standardisation, "config": config})
        )

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """No separate question: hospitals report losses with their training."""
        return []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord, MetricRecord]:
        """Average what came back; replies are in the order of the hospitals' names."""
        hospitals = list(self.postbox.hospitals.values())
        contents = [reply.content.array_records for reply in replies]
        trained = [from_record(c["arrays"]) for c in contents]
        learning = [from_record(c["learning"]) for c in contents]
        for name, own in zip(hospitals, trained, strict=True):
            wrong = [k for k, a in own.items() if not np.isfinite(a).all()]
            if wrong:
                raise FederationError(
                    f"Hospital {name} sent numbers that are not finite in round {self.postbox.round} "
                    f"({', '.join(wrong)}): lower learning_rate, or look at that hospital's features."
                )
        mean = weighted_mean(trained, patients=[own["patients"] for own in learning])
        rows = [_row(self.postbox, name, own) for name, own in zip(hospitals, learning, strict=True)]
        self.on_round(self.postbox.round, mean, rows)
        loss = sum(float((own["training_loss"] * own["patients"]).sum()) for own in learning)
        seen = sum(float(own["patients"].sum()) for own in learning)
        return to_record(mean), MetricRecord({"training_loss": loss / seen})

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nothing was asked."""


def _row(postbox: Postbox, hospital: str, learning: Arrays) -> dict[str, object]:
    return {
        "round": postbox.round,
        "hospital": hospital,
        "patients": float(learning["patients"].mean()),
        "training_loss": float(np.average(learning["training_loss"], weights=learning["patients"])),
        "heldout_loss": float(learning["heldout_loss"].mean()),
        "seconds": postbox.work_seconds[hospital],
    }
