"""The ledger: every array, number and setting of every message, written down as it passes the server.

With only two ends to each line the server's book is complete: what it sent and what it received is all that left a
hospital.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import pandas as pd
from flwr.app import Array, Message

from sarcnet.federated.app.records import describe_axes
from sarcnet.model.network import StackShape

COLUMNS = {
    "round": "int64",
    "from": "object",
    "to": "object",
    "message": "object",
    "record": "object",
    "name": "object",
    "shape": "object",
    "dtype": "object",
    "bytes": "int64",
    "sha256": "object",
}
SERVER = "server"


@dataclass
class Ledger:
    """Rows of the ledger, one an array or value: round, from, to, message, record, name, shape, dtype, bytes,
    sha256.

    round: 0 for questions before training, 1..R for the training rounds, R + 1 for the questions at the end.
    shape: for instance "20 × 32 × 1280"; "" for a single value. bytes: what the value takes up, without Flower's
    envelope. sha256: digest of these bytes, so that a hospital can show what it sent without keeping it. The time of
    work differs from run to run and has no digest.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self, message: Message, *, round: int, sender: str, receiver: str, kind: str) -> None:
        """Write down all that one message carries."""
        head = {"round": round, "from": sender, "to": receiver, "message": kind}
        for record, arrays in message.content.array_records.items():
            for name, array in cast(dict[str, Array], arrays).items():
                shape = " × ".join(str(length) for length in array.shape)
                about = {"shape": shape, "dtype": str(array.dtype), "bytes": len(array.data)}
                about["sha256"] = hashlib.sha256(array.data).hexdigest()
                self.rows.append(head | {"record": record, "name": name} | about)
        values = [*message.content.metric_records.items(), *message.content.config_records.items()]
        for record, content in values:
            for name, value in cast(dict[str, Any], content).items():
                size = len(value.encode()) if isinstance(value, str) else 8
                about = {"shape": "", "dtype": type(value).__name__, "bytes": size}
                timing = (record, name) == ("work", "seconds")
                about["sha256"] = "" if timing else hashlib.sha256(str(value).encode()).hexdigest()
                self.rows.append(head | {"record": record, "name": name} | about)

    def frame(self) -> pd.DataFrame:
        """The ledger as a table, in the order of rounds, receivers and names, whatever the order of arrival."""
        table = pd.DataFrame(self.rows, columns=list(COLUMNS)).astype(COLUMNS)
        return table.sort_values(["round", "message", "from", "to", "record", "name"], ignore_index=True, kind="stable")


def sizes(table: pd.DataFrame) -> Iterable[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every array of a ledger, for `sarcnet.federated.app.records.check_axes`."""
    arrays = table.loc[table["shape"] != ""]
    for name, shape in arrays[["name", "shape"]].drop_duplicates().itertuples(index=False):
        yield str(name), tuple(int(length) for length in shape.split(" × "))


def traffic(table: pd.DataFrame) -> pd.DataFrame:
    """Bytes by round, hospital and direction.

    Args:
        table: the ledger, `FederatedRun.messages`.

    Returns:
        round (0: before training; the last: after it), hospital, direction ("to the hospital", "from the hospital"), bytes.
    """
    return _with_direction(table).groupby(["round", "hospital", "direction"], as_index=False)["bytes"].sum()


def _with_direction(table: pd.DataFrame) -> pd.DataFrame:
    """The ledger with the hospital of each row, and whether it sends or receives."""
    up = table["to"] == SERVER
    direction = up.map({True: "from the hospital", False: "to the hospital"})
    return table.assign(hospital=table["from"].where(up, table["to"]), direction=direction)


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Bytes of a whole run by direction, with the number of messages: hospital, direction, messages, bytes."""
    rows, line = _with_direction(table), ["hospital", "direction"]
    messages = rows.drop_duplicates(["round", "message", *line]).groupby(line).size().rename("messages").reset_index()
    return messages.merge(rows.groupby(line, as_index=False)["bytes"].sum(), on=line)


def list_contents(table: pd.DataFrame, *, shape: StackShape, repeats: int) -> pd.DataFrame:
    """What travels: a row per kind of message, direction and name.

    Args:
        table: the ledger, `FederatedRun.messages`.
        shape: sizes of the network, by which axes are recognised.
        repeats: of the cross-validation, the first axis of an evaluation.

    Returns:
        message, direction, record, name, axes (in words; UNKNOWN for one that was not agreed on), shape, dtype, bytes (in one
        message).
    """
    up = table["to"] == SERVER
    direction = up.map({True: "from a hospital", False: "to a hospital"})
    rows = table.assign(direction=direction).drop_duplicates(["message", "direction", "record", "name"])
    sizes = [tuple(int(n) for n in s.split(" × ")) if s else () for s in rows["shape"]]
    meaning = [
        describe_axes(size, shape=shape, name=name, repeats=repeats) if size else "a single value"
        for size, name in zip(sizes, rows["name"], strict=True)
    ]
    columns = ["message", "direction", "record", "name", "axes", "shape", "dtype", "bytes"]
    return rows.assign(axes=meaning)[columns].reset_index(drop=True)
