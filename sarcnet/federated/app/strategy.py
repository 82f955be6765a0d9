"""The server's part of a round: send the model, check the hospitals' changes, add their mean (or what the strategy makes of
them) to the weights,

    θ_e ← θ_e + Σ_k (n_ke / Σ_j n_je) Δ_ke

Δ_ke is what hospital k's training did to the weights of member e that it received, n_ke the training patients member e has
there; this is federated averaging (McMahan et al., AISTATS 2017). Folds cut hospitals differently, so the weights of the mean
differ from member to member. Sums run in float64 and in the order of the hospitals' names: the result does not depend on who
answered first. The server's own weights are float32 and never rounded, whatever the type in which changes travel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from sarcnet.federated.app.aggregate import combine, server_step, weighted_mean
from sarcnet.federated.app.checkpoint import FinishedRound
from sarcnet.federated.app.early_stopping import mean_loss
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.local_trainers import OWN_CONTROL
from sarcnet.federated.app.records import from_record, instructions, rounded, to_record
from sarcnet.federated.app.secure_aggregation import SECURE, SecureAggregation
from sarcnet.federated.config import FederationConfig, FederationError
from sarcnet.federated.privacy.clipping import Arrays, by_member, norms
from sarcnet.federated.privacy.masking import TRAINING

#: Called after each round; the messages are the caller's to add.
OnRound = Callable[[FinishedRound], None]

#: Name of the row of a round whose hospitals cannot be told apart.
ALL = "all together"


@dataclass(frozen=True)
class Update:
    """What a hospital sent back, or all together where single ones are hidden: change of the weights, float64, and per
    member (E,) patients, training_loss, heldout_loss.

    control: SCAFFOLD's c_k; epsilon: what its patients have spent, where its training is private.
    """

    hospital: str
    change: Arrays
    learning: Arrays
    control: Arrays = field(default_factory=dict)
    epsilon: float = math.nan
    seconds: float = 0.0

    @property
    def patients(self) -> np.ndarray:
        """(E,): each member's training patients there."""
        return self.learning["patients"]


class MemberStrategy(FedAvg):
    """Flower's FedAvg loop with the plan's strategy, every hospital in every round, and a call after each round (for
    checkpoints).

    finished: the last round of an earlier run, if any; standardisation: arrays that go with the model and are not
    trained; secure: the keys, where single changes are hidden.
    """

    def __init__(
        self,
        plan: FederationConfig,
        *,
        standardisation: Arrays,
        finished: FinishedRound | None,
        on_round: OnRound,
        secure: SecureAggregation | None = None,
    ) -> None:
        super().__init__(
            min_train_nodes=len(plan.hospitals), min_available_nodes=len(plan.hospitals), fraction_evaluate=0.0
        )
        self.plan, self.on_round, self.secure = plan, on_round, secure
        self.done = finished.number if finished else 0
        self.memory = finished.memory if finished else {}
        self.standardisation = to_record(standardisation)
        self.updates: list[Update] = []  # of the round so far: in a cycle a round takes several visits

    @property
    def visits(self) -> int:
        """How many times the server asks in one round: once everybody, or, in a cycle, one hospital after the other."""
        return len(self.plan.hospitals) if self.plan.strategy.combine == "cyclic" else 1

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
            strategy=self.plan.strategy,
            message_dtype=self.plan.message_dtype,
        )
        self.grid, self.weights = grid, from_record(arrays)
        sent = to_record(rounded(self.weights, dtype=self.plan.message_dtype))
        content = RecordDict({"arrays": sent, "standardisation": self.standardisation, "config": config})
        if self.secure:
            content[SECURE] = self.secure.record(f"train {grid.round}")
        if self.plan.strategy.control and self.memory:
            content["control"] = self._control_record("mean")
            if server_round == 1:  # the hospitals' processes may be others than before the run was broken off
                return [self._with_own_control(content, node) for node in grid.hospitals]
        messages = grid.messages("train", content)
        return messages if self.visits == 1 else messages[self.visit : self.visit + 1]

    def _with_own_control(self, content: RecordDict, node: int) -> Message:
        """The message to one hospital that gives it back its own control variate."""
        own = RecordDict({**content, OWN_CONTROL: self._control_record(self.grid.hospitals[node])})
        return Message(own, dst_node_id=node, message_type="train")

    def _control_record(self, owner: str) -> ArrayRecord:
        """One of the control variates in the server's memory, as it travels."""
        memory = {key[len(owner) + 1 :]: a for key, a in self.memory.items() if key.startswith(f"{owner} ")}
        return to_record(rounded(memory, dtype=self.plan.message_dtype))

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """No separate question: hospitals report losses with their training."""
        return []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord, MetricRecord]:
        """Combine the changes and take the server's step; replies are in the order of the hospitals' names."""
        received = {self.grid.hospitals[reply.metadata.src_node_id]: reply for reply in replies}
        for hospital, reply in received.items():
            self._check_fit(hospital, reply)
        updates = (
            [self._unmasked(self.secure, received)]
            if self.secure
            else [self._read(hospital, reply) for hospital, reply in received.items()]
        )
        for update in updates:
            self._check_numbers(update)
        patients = [update.patients for update in updates]
        change = combine(
            self.plan.strategy, own=[update.change for update in updates], patients=patients, round=self.grid.round
        )
        new, memory = server_step(self.plan.strategy, weights=self.weights, change=change, state=self.memory)
        self.memory = memory | (_control_memory(updates) if self.plan.strategy.control else {})
        self.updates += updates
        if self.visit == self.visits - 1:
            ended, self.updates = self.updates, []
            watched = {}
            if self.plan.protocol.early_stopping_share:
                watched = mean_loss([update.learning for update in ended])
            rows = [self._row(update) for update in ended]
            self.on_round(FinishedRound(self.grid.round, new, rows, [], self.memory | watched))
        loss = sum(float((u.learning["training_loss"] * u.patients).sum()) for u in updates)
        return to_record(new), MetricRecord({"training_loss": loss / sum(float(n.sum()) for n in patients)})

    def _check_fit(self, hospital: str, reply: Message) -> None:
        """Raise FederationError when the arrays of an answer are not those of the model."""
        for record, what in (("arrays", "arrays"), ("control", "a control variate")):
            if record == "control" and not self.plan.strategy.control:
                continue
            sent = {name: tuple(array.shape) for name, array in reply.content.array_records[record].items()}
            wrong = sorted(set(sent) ^ set(self.weights)) or [
                f"{name} {shape} instead of {self.weights[name].shape}"
                for name, shape in sent.items()
                if shape != self.weights[name].shape
            ]
            if wrong:
                raise FederationError(
                    f"Hospital {hospital} sent in round {self.grid.round} {what} that do not fit the model "
                    f"({', '.join(wrong)}): update its sarcnet."
                )

    def _read(self, hospital: str, reply: Message) -> Update:
        """A hospital's answer."""
        records = reply.content.array_records
        return Update(
            hospital,
            {name: array.astype(np.float64) for name, array in from_record(records["arrays"]).items()},
            from_record(records["learning"]),
            from_record(records["control"]) if self.plan.strategy.control else {},
            _epsilon(reply),
            self.grid.work_seconds[hospital],
        )

    def _unmasked(self, secure: SecureAggregation, replies: Mapping[str, Message]) -> Update:
        """The mean of answers of which single ones cannot be read."""

        def total(record: str) -> Arrays:
            sent = {name: from_record(reply.content.array_records[record]) for name, reply in replies.items()}
            return secure.unmask(sent, fixed=TRAINING)

        learning = total("learning")
        n = learning["patients"]  # (E,)
        divisor = np.maximum(n, 1.0)
        absent = np.full(len(n), math.nan)
        losses = {"training_loss": learning.get("training_loss", absent) / divisor, "heldout_loss": absent}
        return Update(
            ALL,
            {name: array / by_member(divisor, array.ndim) for name, array in total("arrays").items()},
            learning | losses,
            epsilon=max(_epsilon(reply) for reply in replies.values()),
            seconds=max(self.grid.work_seconds.values()),
        )

    def _check_numbers(self, update: Update) -> None:
        """Raise FederationError when a change cannot be added."""
        sender = "The hospitals together" if update.hospital == ALL else f"Hospital {update.hospital}"
        head = f"{sender} sent in round {self.grid.round}"
        arrays = [*update.change.items(), *((f"control of {name}", a) for name, a in update.control.items())]
        if wrong := [name for name, array in arrays if not np.isfinite(array).all()]:
            raise FederationError(
                f"{head} numbers that are not finite ({', '.join(wrong)}): lower learning_rate, "
                "or look at that hospital's features."
            )
        n = update.patients
        if n.shape != (len(self.plan.members),) or not (np.isfinite(n).all() and (n >= 1).all()):
            raise FederationError(
                f"{head} the numbers of training patients {n.tolist()}: every member needs at least one there."
            )

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nothing was asked."""

    def _row(self, update: Update) -> dict[str, object]:
        learning = update.learning
        return {
            "round": self.grid.round,
            "hospital": update.hospital,
            "patients": float(update.patients.mean()),
            "training_loss": float(np.average(learning["training_loss"], weights=update.patients)),
            "heldout_loss": float(learning["heldout_loss"].mean()),
            "change_norm": float(norms(update.change).max()),
            "seconds": update.seconds,
            **({"epsilon": update.epsilon} if self.plan.strategy.patient_clip else {}),
        }


def _epsilon(reply: Message) -> float:
    """ε that a hospital's patients have spent; NaN where its training is not private or has no noise."""
    records = reply.content.metric_records
    return float(records["privacy"]["epsilon"]) if "privacy" in records else math.nan  # type: ignore[arg-type]


def _control_memory(updates: list[Update]) -> Arrays:
    """The server's memory under SCAFFOLD: "mean name", c, and "hospital name", each c_k, for a run that goes on."""
    owners = {update.hospital: update.control for update in updates}
    owners["mean"] = weighted_mean(list(owners.values()), patients=[update.patients for update in updates])
    return {f"{owner} {name}": array for owner, arrays in owners.items() for name, array in arrays.items()}
