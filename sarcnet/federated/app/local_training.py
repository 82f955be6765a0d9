"""What a hospital does in the rounds of a federated training: sums over its patients beforehand, then training.

This and what the server does with the answers is what shapes a round; the rounds are kept under the key of this code.
What a hospital answers otherwise, the check of the finished model among it, is in `sarcnet.federated.app.client_app`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from flwr.app import Context, Error, Message, MetricRecord

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.aggregate import changes
from sarcnet.federated.app.early_stopping import split_hospital
from sarcnet.federated.app.local_trainers import trainer_class
from sarcnet.federated.app.records import (
    check_wire_version,
    from_record,
    load_standardisation,
    read_protocol,
    read_strategy,
    reply_with,
    rounded,
)
from sarcnet.federated.app.secure_aggregation import hidden_in_sum
from sarcnet.federated.config import CANNOT_ANSWER
from sarcnet.federated.hospital_folder import Hospital, data_path, read_hospital, without_names
from sarcnet.model.crossval import make_members
from sarcnet.model.network import StackedNetwork
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import training_statistics
from sarcnet.model.threads import one_thread


@lru_cache(maxsize=4)
def _read(folder: Path, protocol: Protocol, run_id: int) -> tuple[Hospital, np.ndarray | None]:
    return split_hospital(read_hospital(folder, protocol=protocol), protocol=protocol)


def own_hospital(message: Message, context: Context) -> tuple[Hospital, np.ndarray | None, Protocol]:
    """The hospital's patients under the protocol that came with the message, read once a run and process.

    The hospital's weights are of those that train; beside it (n, E) 0/1, the patients who decide when to stop
    (`sarcnet.federated.app.early_stopping`), or None; and the protocol.
    """
    protocol = read_protocol(message.content.config_records["config"])
    return *_read(data_path(context), protocol, context.run_id), protocol


def received_stack(message: Message, protocol: Protocol) -> StackedNetwork:
    """The model as the server sent it: trainable arrays and the agreed standardisation."""
    stack = build_stack(protocol, members=make_members("", folds=protocol.folds, repeats=protocol.repeats))
    records = message.content.array_records
    stack.load_parameter_arrays(from_record(records["arrays"]))
    load_standardisation(stack, from_record(records["standardisation"]))
    return stack


def error_boundary(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Around every question: check its version, measure the time, compute on one thread, and turn a failure into one
    sentence.

    The full report stays in ``error.txt`` in the hospital's folder.
    """
    started = time.perf_counter()
    try:
        check_wire_version(message)
        with one_thread():
            reply = call_next(message, context)
    except Exception as error:
        return Message(Error(CANNOT_ANSWER, _sentence(error, context)), reply_to=message)
    reply.content["work"] = MetricRecord({"seconds": time.perf_counter() - started})
    return reply


def _sentence(error: Exception, context: Context) -> str:
    text = str(error) if isinstance(error, SarcnetError) else f"{type(error).__name__}: {error}"
    if "data-path" not in context.node_config:
        return text
    folder = data_path(context)
    if folder.is_dir():
        (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
    return without_names(text, folder=folder)


def statistics(message: Message, context: Context) -> Message:
    """Sums over each member's training patients at this hospital: tiles, clinical columns, hazard, number of patients."""
    hospital, _, protocol = own_hospital(message, context)
    sums = training_statistics(hospital.patients, weights=hospital.weights)
    return reply_with(message, protocol, arrays=sums.to_arrays())


def train(message: Message, context: Context) -> Message:
    """Train the received model on the hospital's own patients as the strategy says, and answer with its change.

    Args:
        message: "arrays" and "standardisation", the model, each array (E, ...) with the E members first; "config", the
            protocol, the strategy, the epochs and the type in which the change is to travel.
        context: of the node: ``data-path`` in its configuration, and what the strategy remembers from round to round.

    Returns:
        The reply: "arrays", trained minus received weights; "learning", (E,) training patients and losses; and what the
        strategy adds (`sarcnet.federated.app.local_trainers`).
    """
    hospital, stopping, protocol = own_hospital(message, context)
    stack = received_stack(message, protocol)
    config = message.content.config_records["config"]
    strategy, first = read_strategy(config), int(config["first_epoch"])  # type: ignore[arg-type]
    trainer = trainer_class(strategy)(stack, hospital, protocol, strategy, stopping, message, context)
    received = stack.parameter_arrays()
    losses = trainer.train(range(first, first + int(config["epochs"])))  # type: ignore[arg-type]
    change = rounded(changes(stack.parameter_arrays(), received=received), dtype=str(config["message_dtype"]))
    patients = hospital.weights.sum(axis=0, dtype=np.float64)  # (E,)
    reply = reply_with(message, protocol, arrays=change, learning={"patients": patients, **losses})
    for name, record in trainer.records().items():
        reply.content[name] = record
    return reply


#: Around every question, the outermost first.
MODS = (error_boundary, hidden_in_sum)
