"""The private parts of Flower this package touches, all of them here and guarded by a test.

Flower 1.41 gives a message its run and its sender from `flwr.supercore.task_identity.TaskIdentity`, which Flower's
own runners fill in; who drives a ServerApp without one of them has to do the same. Telemetry is decided when Flower
is first imported, which may be before we can set its variable.
"""

from __future__ import annotations

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore import telemetry
from flwr.supercore.task_identity import TaskIdentity


def act_as_server(run_id: int) -> None:
    """Let this process create messages of this run."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    TaskIdentity.task_id = 1


def no_telemetry() -> None:
    """Send nothing to Flower's makers."""
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
