"""The server's postbox: a Flower Grid that writes the ledger, knows the hospitals by name, keeps deadlines and turns
failures into sentences.

Whatever engine carries the messages (Ray, one process, SuperLink), strategy and server talk to this Grid only, so
replies always come back in the order of the hospitals' names and all of them, or a FederationError says who failed
and why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from sarcnet.federated.app.ledger import SERVER, Ledger
from sarcnet.federated.plan import CANNOT_ANSWER, FederationError, NodeUnavailable

PULL_S, LONGEST_PULL_S = 0.05, 0.5  # pause between two looks for replies, a tenth longer each time: a look costs
ASK_AGAIN_S = 2.0  # pause before a node that has gone is asked again


class LoggingGrid(Grid):
    """Wraps the engine's Grid. ``stop``: set by the engine when it breaks down, so nobody waits for it."""

    def __init__(self, grid: Grid, *, stop: threading.Event | None = None) -> None:
        self.grid = grid
        self.stop = stop or threading.Event()
        self.ledger = Ledger()
        self.hospitals: dict[int, str] = {}
        self.round = 0
        self.work_seconds: dict[str, float] = {}

    def meet(self, expected: Sequence[str], *, deadline_s: float) -> None:
        """Wait until a node for every hospital is there, ask each for its name, and check that they are the expected
        ones."""
        end = time.monotonic() + deadline_s
        nodes = sorted(self.grid.get_node_ids())
        while len(nodes) < len(expected) and time.monotonic() < end and not self.stop.is_set():
            time.sleep(PULL_S)
            nodes = sorted(self.grid.get_node_ids())
        if len(nodes) < len(expected):
            raise FederationError(
                f"Only {len(nodes)} of {len(expected)} hospitals connected within {deadline_s:.0f} s: start every node."
            )
        self.hospitals = {node: f"node {node}" for node in nodes}
        replies = self._greet(end)
        names = {r.metadata.src_node_id: str(r.content.config_records["config"]["centre"]) for r in replies}
        if sorted(names.values()) != sorted(expected):
            raise FederationError(
                f"The plan is for the hospitals {', '.join(expected)}, "
                f"but the nodes are {', '.join(sorted(names.values()))}: "
                "start one node for each hospital, with that hospital's folder."
            )
        for row in self.ledger.rows:
            for end_of_line in ("from", "to"):
                row[end_of_line] = {f"node {n}": name for n, name in names.items()}.get(
                    row[end_of_line], row[end_of_line]
                )
        self.work_seconds.clear()
        self.hospitals = dict(sorted(names.items(), key=lambda item: item[1]))

    def _greet(self, end: float) -> list[Message]:
        """Every node's name.

        A SuperLink that was restarted takes nodes for present that have not come back yet: until the deadline they are
        asked again.
        """
        while True:
            letters = self.letters("query.hello", RecordDict({"config": ConfigRecord()}))
            try:
                return self.send_and_receive(letters, timeout=max(end - time.monotonic(), 1.0))
            except NodeUnavailable:
                if time.monotonic() > end or self.stop.wait(ASK_AGAIN_S):
                    raise
                self.ledger.rows.clear()

    def letters(self, kind: str, content: RecordDict) -> list[Message]:
        """The same content for every hospital."""
        return [Message(content, dst_node_id=node, message_type=kind) for node in self.hospitals]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send, wait for all replies, and return them in the order of the hospitals.

        Raises FederationError when one fails or is late.
        """
        letters = list(messages)
        for letter in letters:
            self._write_down(letter, sender=SERVER, receiver=self.hospitals[letter.metadata.dst_node_id])
        waiting = dict(zip(self.grid.push_messages(letters), (m.metadata.dst_node_id for m in letters), strict=True))
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        replies: dict[str, Message] = {}
        pause = PULL_S
        while waiting:
            for reply in self.grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                replies[self.hospitals[node]] = self._opened(reply, self.hospitals[node])
            if waiting and (time.monotonic() > end or self.stop.is_set()):
                late = " and ".join(sorted(self.hospitals[node] for node in waiting.values()))
                why = "the simulation broke down" if self.stop.is_set() else f"no reply within {timeout:.0f} s"
                raise FederationError(
                    f"Hospital {late} did not answer in round {self.round}: {why}. "
                    "Finished rounds are kept; run again to go on."
                )
            if waiting:
                self.stop.wait(pause)
                pause = min(1.1 * pause, LONGEST_PULL_S)
        for name in sorted(replies):
            self._write_down(replies[name], sender=name, receiver=SERVER)
        return [replies[name] for name in sorted(replies)]

    def _opened(self, reply: Message, hospital: str) -> Message:
        if reply.has_error():
            kind = NodeUnavailable if reply.error.code == ErrorCode.NODE_UNAVAILABLE else FederationError
            raise kind(f"Hospital {hospital} could not do its part of round {self.round}: {_cause(reply)}")
        work = reply.content.metric_records["work"]
        self.work_seconds[hospital] = float(work["seconds"])  # type: ignore[arg-type]
        return reply

    def _write_down(self, message: Message, *, sender: str, receiver: str) -> None:
        kind = message.metadata.message_type
        self.ledger.record(message, round=self.round, sender=sender, receiver=receiver, kind=kind)

    def set_run(self, run: Run) -> None:
        self.grid.set_run(run)

    @property
    def run(self) -> Run:
        return self.grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.hospitals)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("Messages that are not waited for would not be in the ledger: use send_and_receive.")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("Messages that are not waited for would not be in the ledger: use send_and_receive.")


def _cause(reply: Message) -> str:
    """The hospital's own sentence, or the last line of what the engine says of a process that broke down."""
    if reply.error.code == CANNOT_ANSWER:
        return str(reply.error.reason)
    lines = [line.strip(" ^'>") for line in str(reply.error.reason).splitlines()]
    return next((line for line in reversed(lines) if line), "no cause given")
