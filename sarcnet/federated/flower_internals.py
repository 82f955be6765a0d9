"""Everything of Flower that this package uses and that is not in Flower's public interface, all of it here.

A test reads every import of `flwr` elsewhere and holds it against the names of Flower's reference; another holds the parts
below against the installed Flower. Flower 1.41 gives a message its run and its sender from
`flwr.supercore.task_identity.TaskIdentity`, which Flower's own runners fill in: code that drives a ServerApp without one of
them has to do the same. Telemetry is decided when Flower is first imported, which may be before its variable can be set.
"""

from __future__ import annotations

from flwr.app import Message
from flwr.clientapp.typing import Mod
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.supercore import telemetry
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

__all__ = ["NODE_UNAVAILABLE", "Mod", "Run", "act_as_server", "disable_telemetry", "number_message"]

#: Error code of a reply that Flower writes for a node that has gone.
NODE_UNAVAILABLE = ErrorCode.NODE_UNAVAILABLE


def act_as_server(run_id: int) -> None:
    """Let this process create messages of this run."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    TaskIdentity.task_id = 1


def number_message(message: Message, number: str) -> None:
    """Give a message the number by which its reply is found; Flower's own grids do this as they send it."""
    message.metadata.__dict__["_message_id"] = number


def disable_telemetry() -> None:
    """Send nothing to Flower's makers."""
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
