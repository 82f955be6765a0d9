"""The server's Flower Grid: it writes the ledger, knows the hospitals by name, keeps deadlines and turns failures into
sentences.

Whatever engine carries the messages (Ray, one process, SuperLink), strategy and server talk to this Grid only, so
replies always come back in the order of the hospitals' names and all of them, or a FederationError says who failed
and why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from sarcnet.federated.app.ledger import SERVER, Ledger
from sarcnet.federated.app.records import WIRE_VERSION, config_record, wire_version
from sarcnet.federated.config import CANNOT_ANSWER, FederationError, NodeUnavailable
from sarcnet.federated.flower_internals import NODE_UNAVAILABLE, Run

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

    def wait_for_nodes(self, expected: Sequence[str], *, deadline_s: float) -> None:
        """Wait until a node for every hospital is connected, ask each for its name, and check that they are the expected
        ones.

        deadline_s: longest wait for the connections, and again, counted from when all are known, for the names: a machine
        that is slow to start the nodes takes nothing from the time they have to answer.
        """
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
        replies = self._identify(time.monotonic() + deadline_s)
        configs = {r.metadata.src_node_id: r.content.config_records["config"] for r in replies}
        names = {node: str(config["centre"]) for node, config in configs.items()}
        if sorted(names.values()) != sorted(expected):
            raise FederationError(
                f"The plan is for the hospitals {', '.join(expected)}, "
                f"but the nodes are {', '.join(sorted(names.values()))}: "
                "start one node for each hospital, with that hospital's folder."
            )
        outdated = sorted(names[node] for node, config in configs.items() if wire_version(config) != WIRE_VERSION)
        if outdated:
            raise FederationError(
                f"{' and '.join(outdated)} speak another version of the messages than this server, which speaks version "
                f"{WIRE_VERSION}: install the same sarcnet at every site and start the nodes again."
            )
        by_node = {f"node {node}": name for node, name in names.items()}
        for row in self.ledger.rows:
            row |= {side: by_node.get(row[side], row[side]) for side in ("from", "to")}
        self.work_seconds.clear()
        self.hospitals = dict(sorted(names.items(), key=lambda item: item[1]))

    def _identify(self, end: float) -> list[Message]:
        """Every node's name.

        A SuperLink that was restarted lists nodes as present that have not come back yet: until the deadline they are
        asked again.
        """
        while True:
            questions = self.messages("query.hello", RecordDict({"config": config_record()}))
            try:
                return self.send_and_receive(questions, timeout=max(end - time.monotonic(), 1.0))
            except NodeUnavailable:
                if time.monotonic() > end or self.stop.wait(ASK_AGAIN_S):
                    raise
                self.ledger.rows.clear()

    def messages(self, kind: str, content: RecordDict) -> list[Message]:
        """The same content for every hospital."""
        return [Message(content, dst_node_id=node, message_type=kind) for node in self.hospitals]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send, wait for all replies, and return them in the order of the hospitals.

        Raises FederationError when one fails or is late.
        """
        sent = list(messages)
        for message in sent:
            self._record(message, sender=SERVER, receiver=self.hospitals[message.metadata.dst_node_id])
        waiting = dict(zip(self.grid.push_messages(sent), (m.metadata.dst_node_id for m in sent), strict=True))
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        replies: dict[str, Message] = {}
        pause = PULL_S
        while waiting:
            for reply in self.grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                replies[self.hospitals[node]] = self._checked(reply, self.hospitals[node])
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
            self._record(replies[name], sender=name, receiver=SERVER)
        return [replies[name] for name in sorted(replies)]

    def _checked(self, reply: Message, hospital: str) -> Message:
        if reply.has_error():
            kind = NodeUnavailable if reply.error.code == NODE_UNAVAILABLE else FederationError
            raise kind(f"Hospital {hospital} could not do its part of round {self.round}: {_cause(reply)}")
        work = reply.content.metric_records["work"]
        self.work_seconds[hospital] = float(work["seconds"])  # type: ignore[arg-type]
        return reply

    def _record(self, message: Message, *, sender: str, receiver: str) -> None:
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

    pull_messages = push_messages  # type: ignore[assignment]


def _cause(reply: Message) -> str:
    """The hospital's own sentence, or the last line of what the engine says of a process that broke down."""
    if reply.error.code == CANNOT_ANSWER:
        return str(reply.error.reason)
    lines = [line.strip(" ^'>") for line in str(reply.error.reason).splitlines()]
    return next((line for line in reversed(lines) if line), "no cause given")
