"""Federated training, member by member, under any recipe; with the default one federated averaging,

    θ_e ← Σ_k (n_ke / Σ_j n_je) θ_ke

θ_ke are the weights of member e after hospital k trained them, n_ke the training patients member e has there (McMahan
et al., AISTATS 2017). Folds cut hospitals differently, so the weights of the mean differ from member to member. Sums
run in float64 and in the order of the hospitals' names: the result does not depend on who answered first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from sarcnet.federated.aggregate import Arrays, changes, combine, norms, server_step, weighted_mean
from sarcnet.federated.checkpoint import FinishedRound
from sarcnet.federated.plan import FederationError, Plan
from sarcnet.federated.postbox import Postbox
from sarcnet.federated.records import from_record, instructions, to_record

#: Called after each round; the messages are the caller's to add.
OnRound = Callable[[FinishedRound], None]


@dataclass(frozen=True)
class Answer:
    """What a hospital sent back: trained weights, and per member (E,) patients, training_loss, heldout_loss."""

    hospital: str
    weights: Arrays
    learning: Arrays


class MemberStrategy(FedAvg):
    """Flower's FedAvg loop with the plan's recipe, every hospital in every round, and a call after each round (for
    checkpoints).

    finished: the last round of an earlier run, if any; standardisation: arrays that go with the model and are not
    trained.
    """

    def __init__(
        self, plan: Plan, *, standardisation: Arrays, finished: FinishedRound | None, on_round: OnRound
    ) -> None:
        super().__init__(
            min_train_nodes=len(plan.hospitals), min_available_nodes=len(plan.hospitals), fraction_evaluate=0.0
        )
        self.plan, self.on_round = plan, on_round
        self.done = finished.number if finished else 0
        self.memory = finished.memory if finished else {}
        self.standardisation = to_record(standardisation)
        self.rows: list[dict[str, object]] = []

    @property
    def visits(self) -> int:
        """How many times the server asks in one round: once everybody, or, in a cycle, one hospital after the other."""
        return len(self.plan.hospitals) if self.plan.recipe.combine == "cyclic" else 1

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """The model, its standardisation and the instructions: the same for every hospital, in a cycle for the next."""
        if not isinstance(grid, Postbox):
            raise TypeError("MemberStrategy sends through a Postbox, so that every message is in the ledger.")
        round, self.visit = divmod(server_round - 1, self.visits)
        grid.round = self.done + 1 + round
        config = instructions(
            self.plan.protocol,
            epochs=self.plan.local_epochs,
            first_epoch=(grid.round - 1) * self.plan.local_epochs,
            proximal=self.plan.recipe.proximal,
        )
        self.postbox, self.received = grid, from_record(arrays)
        letters = grid.letters(
            "train", RecordDict({"arrays": arrays, "standardisation": self.standardisation, "config": config})
        )
        return letters if self.visits == 1 else letters[self.visit : self.visit + 1]

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """No separate question: hospitals report losses with their training."""
        return []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord, MetricRecord]:
        """Combine what came back; replies are in the order of the hospitals' names."""
        answers = [self._opened(reply) for reply in replies]
        own = [changes(answer.weights, received=self.received) for answer in answers]
        patients = [answer.learning["patients"] for answer in answers]
        new, self.memory = self._combined(answers, own, patients)
        self.rows += [self._row(answer, change) for answer, change in zip(answers, own, strict=True)]
        if self.visit == self.visits - 1:
            self.on_round(FinishedRound(self.postbox.round, new, self.rows, [], self.memory))
            self.rows = []
        loss = sum(float((a.learning["training_loss"] * a.learning["patients"]).sum()) for a in answers)
        return to_record(new), MetricRecord({"training_loss": loss / sum(float(p.sum()) for p in patients)})

    def _combined(self, answers: list[Answer], own: list[Arrays], patients: list[np.ndarray]) -> tuple[Arrays, Arrays]:
        recipe = self.plan.recipe
        plain = recipe.combine in ("mean", "cyclic") and recipe.server_step == "replace" and not recipe.clip_norm
        if plain:
            mean = weighted_mean([answer.weights for answer in answers], patients=patients)
            return {name: array.astype(np.float32) for name, array in mean.items()}, {}
        change = combine(recipe, own=own, patients=patients, round=self.postbox.round)
        return server_step(recipe, weights=self.received, change=change, state=self.memory)

    def _opened(self, reply: Message) -> Answer:
        """A hospital's answer; raises FederationError when it cannot be used."""
        hospital = self.postbox.hospitals[reply.metadata.src_node_id]
        records = reply.content.array_records
        answer = Answer(hospital, from_record(records["arrays"]), from_record(records["learning"]))
        head = f"Hospital {hospital} sent in round {self.postbox.round}"
        wrong = sorted(set(answer.weights) ^ set(self.received)) or [
            f"{k} {a.shape} instead of {self.received[k].shape}"
            for k, a in answer.weights.items()
            if a.shape != self.received[k].shape
        ]
        if wrong:
            raise FederationError(f"{head} arrays that do not fit the model ({', '.join(wrong)}): update its sarcnet.")
        wrong = [k for k, a in answer.weights.items() if not np.isfinite(a).all()]
        if wrong:
            raise FederationError(
                f"{head} numbers that are not finite ({', '.join(wrong)}): lower learning_rate, "
                "or look at that hospital's features."
            )
        patients = answer.learning["patients"]
        if patients.shape != (len(self.plan.members),) or not (np.isfinite(patients).all() and (patients >= 1).all()):
            raise FederationError(
                f"{head} the numbers of training patients {patients.tolist()}: every member needs at least one there."
            )
        return answer

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nothing was asked."""

    def _row(self, answer: Answer, change: Arrays) -> dict[str, object]:
        learning = answer.learning
        return {
            "round": self.postbox.round,
            "hospital": answer.hospital,
            "patients": float(learning["patients"].mean()),
            "training_loss": float(np.average(learning["training_loss"], weights=learning["patients"])),
            "heldout_loss": float(learning["heldout_loss"].mean()),
            "change_norm": float(norms(change).max()),
            "seconds": self.postbox.work_seconds[answer.hospital],
        }
