"""A hospital's app that misbehaves on request, for the fire drill only: no other bundle names this module.

A node that was started with ``spoil`` in its configuration answers the question `train` late, or with numbers that no honest
node would send. Everything else is the app that hospitals run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from flwr.app import Context, Message

from sarcnet.federated.app.client_app import make_client_app
from sarcnet.federated.app.records import from_record, to_record
from sarcnet.federated.flower_internals import Mod
from sarcnet.federated.hospital_folder import data_path, read_centre

SPOILING = "studies.fault_injection.faulty_client"  # the module that the bundle of a drill names
SLOW, NOT_FINITE, OTHER_SHAPE, NOBODY, POISON = "slow", "not finite", "other shape", "nobody", "poison"
POISON_TIMES = 1000.0  # a change so many times too long; float16 still holds it


def spoil(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Around every question: do it right, then spoil what the node's configuration asks for.

    ``spoil``: one of the names above. ``spoil-s``: seconds that a slow node waits.
    """
    kind = str(context.node_config.get("spoil", ""))
    if message.metadata.message_type != "train" or not kind:
        return call_next(message, context)
    if kind == SLOW:
        time.sleep(float(context.node_config["spoil-s"]))  # type: ignore[arg-type]
    reply = call_next(message, context)
    if reply.has_error() or kind == SLOW:
        return reply
    records = reply.content.array_records
    record = "learning" if kind == NOBODY else "arrays"
    records[record] = to_record(spoilt(from_record(records[record]), kind=kind))
    return reply


def spoilt_at(hospital: str, *, kind: str) -> Mod:
    """The same for a simulation, whose nodes nobody configures: this hospital misbehaves in this way."""

    def misbehave(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
        if read_centre(data_path(context)) == hospital:
            context.node_config["spoil"] = kind
        return spoil(message, context, call_next)

    return misbehave


def spoilt(arrays: dict[str, np.ndarray], *, kind: str) -> dict[str, np.ndarray]:
    """The arrays of a reply as a misbehaving node would send them."""
    first = min(arrays)
    if kind == NOT_FINITE:
        return {**arrays, first: np.full_like(arrays[first], np.nan)}
    if kind == OTHER_SHAPE:
        return {**arrays, first: arrays[first][..., :-1]}
    if kind == NOBODY:
        return {**arrays, "patients": np.zeros_like(arrays["patients"])}
    return {name: array * np.asarray(POISON_TIMES, array.dtype) for name, array in arrays.items()}


app = make_client_app(mods=[spoil])
