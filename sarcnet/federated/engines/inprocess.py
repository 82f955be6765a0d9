"""A Flower Grid without any other process: it hands each message to the real ClientApp and keeps the reply.

For tests and smoke runs, where Ray's start would take longer than the work. The hospitals take turns, so there is no
deadline to keep.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from sarcnet.federated.flower_internals import Run, act_as_server, number_message

_RUN_IDS = itertools.count(1)
UNKNOWN_ERROR = 0


class InProcessGrid(Grid):
    """``nodes`` virtual hospitals in this process.

    Node i has ``partition-id`` i in its configuration, as in Flower's simulation.
    """

    def __init__(self, client_app: ClientApp, *, nodes: int) -> None:
        self.client_app = client_app
        self.run_id = next(_RUN_IDS)
        act_as_server(self.run_id)
        self.contexts = {
            i + 2: Context(
                run_id=self.run_id,
                node_id=i + 2,
                node_config={"partition-id": i, "num-partitions": nodes},
                state=RecordDict(),
                run_config={},
            )
            for i in range(nodes)
        }
        self.replies: dict[str, Message] = {}
        self.sent = itertools.count(1)

    def get_node_ids(self) -> Iterable[int]:
        """All nodes are there from the start."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let the ClientApp answer each message now."""
        numbers = []
        for message in messages:
            number = f"{self.run_id}-{next(self.sent)}"
            number_message(message, number)
            try:
                reply = self.client_app(message, self.contexts[message.metadata.dst_node_id])
            except Exception as error:
                reply = Message(Error(UNKNOWN_ERROR, f"{type(error).__name__}: {error}"), reply_to=message)
            self.replies[number] = reply
            numbers.append(number)
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to these messages."""
        return [self.replies.pop(number) for number in message_ids if number in self.replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push, then pull."""
        return self.pull_messages(self.push_messages(messages))

    def set_run(self, run: Run) -> None:
        """There is one run only."""

    @property
    def run(self) -> Run:
        """An empty run with this grid's number."""
        return Run.create_empty(self.run_id)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """As Flower's other grids do."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)
