"""Federated training, member by member, under any recipe; with the default one federated averaging,

    θ_e ← Σ_k (n_ke / Σ_j n_je) θ_ke

θ_ke are the weights of member e after hospital k trained them, n_ke the training patients member e has there (McMahan
et al., AISTATS 2017). Folds cut hospitals differently, so the weights of the mean differ from member to member. Sums
run in float64 and in the order of the hospitals' names: the result does not depend on who answered first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from sarcnet.federated.app.aggregate import Arrays, changes, combine, norms, server_step, weighted_mean
from sarcnet.federated.app.checkpoint import FinishedRound
from sarcnet.federated.app.early_stopping import mean_loss
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.records import from_record, instructions, rounded, to_record
from sarcnet.federated.app.scaffold import OWN
from sarcnet.federated.plan import FederationConfig, FederationError
from sarcnet.federated.privacy.masking import TRAINING
from sarcnet.federated.privacy.secure_aggregation import SECURE, SecureAggregation

#: Called after each round; the messages are the caller's to add.
OnRound = Callable[[FinishedRound], None]

#: Name of the row of a round whose hospitals cannot be told apart.
ALL = "all together"


@dataclass(frozen=True)
class Answer:
    """What a hospital sent back: trained weights, and per member (E,) patients, training_loss, heldout_loss.

    control: SCAFFOLD's c_k; epsilon: what its patients have spent, where its training is private.
    """

    hospital: str
    weights: Arrays
    learning: Arrays
    control: Arrays = field(default_factory=dict)
    epsilon: float = math.nan


class MemberStrategy(FedAvg):
    """Flower's FedAvg loop with the plan's recipe, every hospital in every round, and a call after each round (for
    checkpoints).

    finished: the last round of an earlier run, if any; standardisation: arrays that go with the model and are not
    trained.
    """

    def __init__(
        self,
        plan: FederationConfig,
        *,
        standardisation: Arrays,
        finished: FinishedRound | None,
        on_round: OnRound,
        seal: SecureAggregation | None = None,
    ) -> None:
        super().__init__(
            min_train_nodes=len(plan.hospitals), min_available_nodes=len(plan.hospitals), fraction_evaluate=0.0
        )
        self.plan, self.on_round, self.seal = plan, on_round, seal
        self.done = finished.number if finished else 0
        self.memory = finished.memory if finished else {}
        self.standardisation = to_record(standardisation)
        self.rows: list[dict[str, object]] = []
        self.told: list[Arrays] = []

    @property
    def visits(self) -> int:
        """How many times the server asks in one round: once everybody, or, in a cycle, one hospital after the other."""
        return len(self.plan.hospitals) if self.plan.recipe.combine == "cyclic" else 1

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """The model, its standardisation and the instructions: the same for every hospital, in a cycle for the next."""
        if not isinstance(grid, LoggingGrid):
            raise TypeError("MemberStrategy sends through a LoggingGrid, so that every message is in the ledger.")
        round, self.visit = divmod(server_round - 1, self.visits)
        grid.round = self.done + 1 + round
        config = instructions(
            self.plan.protocol,
            epochs=self.plan.local_epochs,
            first_epoch=(grid.round - 1) * self.plan.local_epochs,
            recipe=self.plan.recipe,
            message_dtype=self.plan.message_dtype,
        )
        self.postbox, self.weights = grid, from_record(arrays)
        sent = rounded(self.weights, dtype=self.plan.message_dtype)
        self.received = {name: array.astype(np.float32) for name, array in sent.items()}
        content = RecordDict({"arrays": to_record(sent), "standardisation": self.standardisation, "config": config})
        if self.seal:
            content[SECURE] = self.seal.told(f"train {grid.round}")
        if self.plan.recipe.control and self.memory:
            mean = _of("mean", self.memory)
            content["control"] = to_record(rounded(mean, dtype=self.plan.message_dtype))
            if server_round == 1:  # the hospitals' processes may be others than before the run was broken off
                return [self._with_own_control(content, node) for node in grid.hospitals]
        letters = grid.letters("train", content)
        return letters if self.visits == 1 else letters[self.visit : self.visit + 1]

    def _with_own_control(self, content: RecordDict, node: int) -> Message:
        """The letter to one hospital that gives it back its own control variate."""
        own = RecordDict(dict(content))
        kept = _of(self.postbox.hospitals[node], self.memory)
        own[OWN] = to_record({name: array.astype(self.plan.message_dtype) for name, array in kept.items()})
        return Message(own, dst_node_id=node, message_type="train")

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """No separate question: hospitals report losses with their training."""
        return []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord, MetricRecord]:
        """Combine what came back; replies are in the order of the hospitals' names."""
        if self.seal:
            return self._aggregate_hidden(self.seal, list(replies))
        answers = [self._opened(reply) for reply in replies]
        own = [changes(answer.weights, received=self.received) for answer in answers]
        patients = [answer.learning["patients"] for answer in answers]
        new, self.memory = self._combined(answers, own, patients)
        self.told += [answer.learning for answer in answers]
        self.rows += [self._row(answer, change) for answer, change in zip(answers, own, strict=True)]
        if self.visit == self.visits - 1:
            self.on_round(FinishedRound(self.postbox.round, new, self.rows, [], self.memory | self._watched()))
            self.rows = []
        loss = sum(float((a.learning["training_loss"] * a.learning["patients"]).sum()) for a in answers)
        return to_record(new), MetricRecord({"training_loss": loss / sum(float(p.sum()) for p in patients)})

    def _aggregate_hidden(self, seal: SecureAggregation, replies: list[Message]) -> tuple[ArrayRecord, MetricRecord]:
        """The same from sums whose terms cannot be read: one row for all hospitals together."""
        hospital = {reply.metadata.src_node_id: self.postbox.hospitals[reply.metadata.src_node_id] for reply in replies}
        sent = {hospital[r.metadata.src_node_id]: r.content.array_records for r in replies}
        own = {name: from_record(records["arrays"]) for name, records in sent.items()}
        for name, arrays in own.items():
            if {k: a.shape for k, a in arrays.items()} != {k: a.shape for k, a in self.received.items()}:
                raise FederationError(f"Hospital {name} sent arrays that do not fit the model: update its sarcnet.")
        total = seal.opened(own, fixed=TRAINING)
        learning = seal.opened({k: from_record(records["learning"]) for k, records in sent.items()}, fixed=TRAINING)
        n = learning["patients"]  # (E,)
        if not (n >= 1).all():
            raise FederationError(
                f"The hospitals together sent {n.tolist()} training patients: every member needs one."
            )
        change = {name: array / n.reshape(-1, *[1] * (array.ndim - 1)) for name, array in total.items()}
        new, self.memory = server_step(self.plan.recipe, weights=self.weights, change=change, state=self.memory)
        loss = float(learning["training_loss"].sum() / n.sum()) if "training_loss" in learning else math.nan
        row = {"round": self.postbox.round, "hospital": ALL, "patients": float(n.mean()), "training_loss": loss}
        row |= {"heldout_loss": math.nan, "change_norm": float(norms(change).max())}
        seconds = max(self.postbox.work_seconds.values())
        self.told = [learning]
        rows, memory = [row | {"seconds": seconds}], self.memory | self._watched()
        self.on_round(FinishedRound(self.postbox.round, new, rows, [], memory))
        return to_record(new), MetricRecord({"training_loss": loss})

    def _watched(self) -> Arrays:
        """What decides when to stop, where the protocol has that: the mean loss of this round's stopping patients."""
        told, self.told = self.told, []
        return mean_loss(told) if self.plan.protocol.early_stopping_share else {}

    def _combined(self, answers: list[Answer], own: list[Arrays], patients: list[np.ndarray]) -> tuple[Arrays, Arrays]:
        recipe = self.plan.recipe
        plain = recipe.combine in ("mean", "cyclic") and recipe.server_step == "replace" and not recipe.clip_norm
        if plain:
            memory = _controls(answers, patients) if recipe.control else {}
            if self.plan.message_dtype == "float32":
                mean = weighted_mean([answer.weights for answer in answers], patients=patients)
            else:  # the mean change goes onto the server's own weights, which were never rounded
                change = weighted_mean(own, patients=patients)
                mean = {name: self.weights[name].astype(np.float64) + change[name] for name in change}
            return {name: array.astype(np.float32) for name, array in mean.items()}, memory
        change = combine(recipe, own=own, patients=patients, round=self.postbox.round)
        new, memory = server_step(recipe, weights=self.weights, change=change, state=self.memory)
        return new, memory | (_controls(answers, patients) if recipe.control else {})

    def _opened(self, reply: Message) -> Answer:
        """A hospital's answer; raises FederationError when it cannot be used."""
        hospital = self.postbox.hospitals[reply.metadata.src_node_id]
        records = reply.content.array_records
        arrays = from_record(records["arrays"])
        answer = Answer(
            hospital,
            arrays if self.plan.message_dtype == "float32" else self._arrived(arrays),
            from_record(records["learning"]),
            from_record(records["control"]) if self.plan.recipe.control else {},
            float(reply.content.metric_records["privacy"]["epsilon"])  # type: ignore[arg-type]
            if "privacy" in reply.content
            else math.nan,
        )
        head = f"Hospital {hospital} sent in round {self.postbox.round}"
        wrong = sorted(set(answer.weights) ^ set(self.received)) or [
            f"{k} {a.shape} instead of {self.received[k].shape}"
            for k, a in answer.weights.items()
            if a.shape != self.received[k].shape
        ]
        if wrong:
            raise FederationError(f"{head} arrays that do not fit the model ({', '.join(wrong)}): update its sarcnet.")
        wrong = sorted(set(answer.control) ^ set(self.received)) if self.plan.recipe.control else []
        if wrong or any(a.shape != self.received[k].shape for k, a in answer.control.items()):
            raise FederationError(f"{head} a control variate that does not fit the model: update its sarcnet.")
        both = [*answer.weights.items(), *((f"control of {k}", a) for k, a in answer.control.items())]
        wrong = [k for k, a in both if not np.isfinite(a).all()]
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

    def _arrived(self, change: Arrays) -> Arrays:
        """The trained weights behind a rounded change, float64; a change that does not fit stays what it is."""
        return {
            name: self.received[name].astype(np.float64) + array.astype(np.float64)
            if name in self.received and array.shape == self.received[name].shape
            else array
            for name, array in change.items()
        }

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nothing was asked."""

    def _row(self, answer: Answer, change: Arrays) -> dict[str, object]:
        learning = answer.learning
        private = {"epsilon": answer.epsilon} if self.plan.recipe.patient_clip else {}
        return {
            "round": self.postbox.round,
            "hospital": answer.hospital,
            "patients": float(learning["patients"].mean()),
            "training_loss": float(np.average(learning["training_loss"], weights=learning["patients"])),
            "heldout_loss": float(learning["heldout_loss"].mean()),
            "change_norm": float(norms(change).max()),
            "seconds": self.postbox.work_seconds[answer.hospital],
            **private,
        }


def _controls(answers: list[Answer], patients: list[np.ndarray]) -> Arrays:
    """The server's memory under SCAFFOLD: "mean name", c, and "hospital name", each c_k, kept for a resumed run."""
    own = {answer.hospital: answer.control for answer in answers}
    own["mean"] = weighted_mean(list(own.values()), patients=patients)
    return {f"{who} {name}": array for who, arrays in own.items() for name, array in arrays.items()}


def _of(who: str, memory: Arrays) -> Arrays:
    """One of the control variates in the server's memory."""
    return {key[len(who) + 1 :]: array for key, array in memory.items() if key.startswith(f"{who} ")}
