"""Arrays and settings as Flower's records: the version of the messages, and the one rule about shapes.

Every array that travels has the members first (an evaluation the repeats) and no patient anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.heldout_sums import RISK_BINS, RISK_GROUPS
from sarcnet.federated.config import FederationError
from sarcnet.federated.strategies import StrategyConfig
from sarcnet.model.aggregators import AGGREGATORS
from sarcnet.model.crossval import make_members
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.protocol import Protocol, build_stack

#: Version of what the messages say. 1: a hospital answers with its trained weights; 2: with their change.
WIRE_VERSION = 2


def config_record(**values: str | int) -> ConfigRecord:
    """Settings of a message, with the version in which it is written."""
    return ConfigRecord({"wire_version": WIRE_VERSION, **values})


def wire_version(config: ConfigRecord) -> int:
    """The version of a message; those of before version 2 do not name one."""
    return int(config.get("wire_version", 1))  # type: ignore[arg-type]


def check_wire_version(message: Message) -> None:
    """Raise SarcnetError when a message from the server is written in another version than this node reads."""
    version = wire_version(message.content.config_records["config"])
    if version != WIRE_VERSION:
        raise SarcnetError(
            f"The server's messages are of version {version}, and this node reads version {WIRE_VERSION}: install the same "
            "sarcnet at every site."
        )


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Named arrays as one record, in sorted order."""
    return ArrayRecord({name: Array(np.ascontiguousarray(arrays[name])) for name in sorted(arrays)})


def from_record(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The reverse: own copies."""
    return {name: np.array(array.numpy()) for name, array in record.items()}


def rounded(arrays: Mapping[str, np.ndarray], *, dtype: str) -> dict[str, np.ndarray]:
    """Arrays as they travel: float32, or float16 with a relative error of at most 2⁻¹¹ (absolute 2⁻²⁵ below 6e-5).

    What float16 cannot hold becomes infinite, and is refused on arrival like any number that is not finite.
    """
    with np.errstate(over="ignore"):
        return {name: np.asarray(array).astype(dtype) for name, array in arrays.items()}


def instructions(
    protocol: Protocol,
    *,
    epochs: int = 0,
    first_epoch: int = 0,
    strategy: StrategyConfig | None = None,
    message_dtype: str = "float32",
) -> ConfigRecord:
    """What a hospital is told along with the arrays.

    Protocol and strategy as JSON text (without the seed of the server's noise, which is the server's secret), how many
    epochs to train, the number of the first, and the type of the arrays to send.
    """
    public = replace(strategy or StrategyConfig(), noise_seed=0)
    return config_record(
        protocol=json.dumps(protocol.to_dict(), sort_keys=True),
        strategy=json.dumps(public.to_dict(), sort_keys=True),
        message_dtype=message_dtype,
        epochs=epochs,
        first_epoch=first_epoch,
    )


def read_strategy(record: ConfigRecord) -> StrategyConfig:
    """The strategy inside instructions."""
    return StrategyConfig(**json.loads(str(record["strategy"])))


def read_protocol(record: ConfigRecord) -> Protocol:
    """The protocol inside instructions."""
    return Protocol.from_dict(json.loads(str(record["protocol"])))


def stack_shape(protocol: Protocol) -> StackShape:
    """Sizes of the network this protocol describes, with all its members."""
    return build_stack(protocol, members=make_members("", folds=protocol.folds, repeats=protocol.repeats)).shape


def standardisation(stack: StackedNetwork) -> dict[str, np.ndarray]:
    """The arrays of the network that are computed, not trained: means, inverse spreads, image centre.

    Each (E, ...) float32.
    """
    return {name: buffer.numpy().copy() for name, buffer in stack.named_buffers()}


def load_standardisation(stack: StackedNetwork, arrays: Mapping[str, np.ndarray]) -> None:
    """Set these arrays; raises FederationError when names or shapes are not those of this network."""
    own = dict(stack.named_buffers())
    wrong = sorted(set(own) ^ set(arrays)) or [k for k in own if own[k].shape != arrays[k].shape]
    if wrong:
        raise FederationError(f"The standardisation does not fit this network: {', '.join(wrong)} differ.")
    for name, buffer in own.items():
        buffer.copy_(torch.from_numpy(np.asarray(arrays[name])))


def axis_names(shape: StackShape) -> dict[int, str]:
    """Length of an axis → what it counts. Only these may follow the first axis of an array that travels."""
    names = {
        RISK_BINS: "risk bin",
        RISK_GROUPS: "risk group",
        **AGGREGATORS[shape.aggregator].AXES,
        shape.intervals: "interval",
        shape.attention_dim: "attention",
        shape.embedding_dim: "embedding",
        shape.clinical_dim: "clinical column",
        shape.feature_dim: "feature",
    }
    return {length: name for length, name in names.items() if length}


def first_axis(name: str, *, shape: StackShape, repeats: int) -> tuple[int, str]:
    """Length and meaning of the first axis of the array of this name: the repeats of an evaluation, else the
    members."""
    return (repeats, "repeat") if name.startswith("evaluation.") else (shape.members, "member")


def describe_axes(size: tuple[int, ...], *, shape: StackShape, name: str = "", repeats: int = 0) -> str:
    """For instance "member × embedding × feature"; an axis of another length is called "UNKNOWN"."""
    names = axis_names(shape)
    length, meaning = first_axis(name, shape=shape, repeats=repeats)
    first = [meaning if size[0] == length else "UNKNOWN"] if size else ["UNKNOWN"]
    return " × ".join(first + [names.get(n, "UNKNOWN") for n in size[1:]])


def check_axes(sizes: Iterable[tuple[str, tuple[int, ...]]], *, shape: StackShape, repeats: int = 0) -> None:
    """Raise FederationError when an array has an axis that is not the members', the network's or an agreed bin's.

    It could be patients or tiles.
    """
    wrong = [
        f"{name} {size}"
        for name, size in sizes
        if "UNKNOWN" in describe_axes(size, shape=shape, name=name, repeats=repeats)
    ]
    if wrong:
        allowed = ", ".join(f"{name} {length}" for length, name in axis_names(shape).items())
        raise FederationError(
            f"These arrays are not sent: {', '.join(wrong)}. An array has {shape.members} members first (an evaluation "
            f"{repeats} repeats) and then only agreed axes ({allowed}); any other axis could count patients or tiles."
        )


def reply_with(message: Message, protocol: Protocol, **records: Mapping[str, np.ndarray]) -> Message:
    """Reply with records of arrays, after a last check: no axis may count patients or tiles."""
    shape = stack_shape(protocol)
    for record in records.values():
        check_axes([(name, array.shape) for name, array in record.items()], shape=shape, repeats=protocol.repeats)
    return Message(RecordDict({name: to_record(record) for name, record in records.items()}), reply_to=message)
