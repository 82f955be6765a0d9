"""Secure sums in the app: keys are exchanged once a run, and every answer is hidden on its way out of the hospital.

The arithmetic is in `sarcnet.federated.privacy.masking`. What is hidden: statistics, changes of weights (each times
the hospital's patients), numbers of patients, training losses, centring and evaluation. What is not: names, times, ε.
Losses on held-out patients, which can be absent at a hospital, are not sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.early_stopping import LOSS, PATIENTS
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.records import config_record, from_record, to_record
from sarcnet.federated.hospital_folder import data_path, read_centre
from sarcnet.federated.privacy.clipping import by_member
from sarcnet.federated.privacy.masking import STATISTICS, TRAINING, Fixed, mask, new_key, public_key, unmask_sum

#: Name of the record with keys and question, and of a hospital's state with its private key.
SECURE = "secure_sum"


@dataclass(frozen=True)
class SecureAggregation:
    """The server's side: every hospital's public key."""

    public: Mapping[str, bytes]

    def record(self, question: str) -> ConfigRecord:
        """What goes with a question."""
        keys = {name: key.hex() for name, key in self.public.items()}
        return ConfigRecord({"public_keys": json.dumps(keys, sort_keys=True), "question": question})

    def unmask(self, hidden: Mapping[str, Mapping[str, np.ndarray]], *, fixed: Fixed) -> dict[str, np.ndarray]:
        """The sum over all hospitals, float64."""
        return unmask_sum(hidden, hospitals=list(self.public), fixed=fixed)


def exchange_keys(grid: LoggingGrid, *, deadline_s: float) -> SecureAggregation:
    """Ask every hospital for a public key of this run."""
    messages = grid.messages("query.key", RecordDict({"config": config_record()}))
    replies = grid.send_and_receive(messages, timeout=deadline_s)
    sent = {grid.hospitals[r.metadata.src_node_id]: r.content.config_records["config"]["public"] for r in replies}
    return SecureAggregation({name: bytes.fromhex(str(public)) for name, public in sent.items()})


def key(message: Message, context: Context) -> Message:
    """A new key pair for this run; the private half stays in the state Flower keeps at the hospital."""
    private = new_key()
    context.state[SECURE] = ConfigRecord({"private": private, "asked": ""})
    return Message(RecordDict({"config": config_record(public=public_key(private).hex())}), reply_to=message)


def hidden_in_sum(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """A Flower mod: where the question came with keys, the answer's arrays leave under masks.

    Raises SarcnetError when this node has no private key of this run, or a question is asked twice.
    """
    if SECURE not in message.content.config_records:
        return call_next(message, context)
    sent = message.content.config_records[SECURE]
    question = str(sent["question"])
    if SECURE not in context.state.config_records:
        raise SarcnetError(
            "This node was started again and has lost its key for secure sums: run again, rounds are kept."
        )
    state = context.state.config_records[SECURE]
    asked = str(state["asked"]).split("\n")
    if question in asked:
        raise SarcnetError(
            f"'{question}' was asked twice: the difference of two answers could be read, so none is given."
        )
    reply = call_next(message, context)
    records = {name: from_record(record) for name, record in reply.content.array_records.items()}
    fixed = STATISTICS
    if message.metadata.message_type == "train":
        records, fixed = _times_patients(records), TRAINING
    public = {name: bytes.fromhex(value) for name, value in json.loads(str(sent["public_keys"])).items()}
    own, private = read_centre(data_path(context)), state["private"]
    context.state[SECURE] = ConfigRecord({"private": private, "asked": "\n".join([*asked, question])})
    for name, arrays in records.items():
        part = f"{question} {name}"  # a stream for each record, whatever their arrays are called
        hidden = mask(arrays, fixed=fixed, own=own, private=bytes(private), public=public, question=part)  # type: ignore[arg-type]
        reply.content[name] = to_record(hidden)
    return reply


def _times_patients(records: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Terms of sums: a hospital's changes and training losses times its patients, and the patients."""
    learning = records["learning"]
    n = learning["patients"]  # (E,)
    change = {name: by_member(n, a.ndim) * a.astype(np.float64) for name, a in records["arrays"].items()}
    terms = {"patients": n} | {name: learning[name] for name in (LOSS, PATIENTS) if name in learning}
    if np.isfinite(learning["training_loss"]).all():  # private training tells no loss
        terms["training_loss"] = n * learning["training_loss"]
    return {"arrays": change, "learning": terms}
