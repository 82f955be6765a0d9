"""The ServerApp of a real federation: the plan comes with the run's configuration, the result goes into a folder.

The simulation hands a `Plan` to `sarcnet.federated.app.server_app.Server`; here `flwr run` does, as text, and the Server is
the same. What it leaves in ``out`` on the server's machine: ``rounds/`` (a broken-off run goes on there), the model
``sarcnet_fedavg.safetensors`` with its description, the ledger ``messages.parquet``,
``rounds.parquet``, and how good it is on held-out patients: ``evaluation.json``, ``calibration.parquet``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.federated.app.server_app import FederatedRun, Server
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.strategies import StrategyConfig
from sarcnet.model.protocol import Protocol
from sarcnet.model.store import save_stack

#: Name of the sentence a failed run leaves in its folder.
FAILED = "failed.txt"


def run_config(plan: FederationConfig, *, out: Path) -> dict[str, str | int | float]:
    """A plan as the settings of `flwr run`; ``out`` is a folder on the server's machine."""
    return {
        "protocol": json.dumps(plan.protocol.to_dict(), sort_keys=True),
        "rounds": plan.rounds,
        "local-epochs": plan.local_epochs,
        "strategy": json.dumps(plan.strategy.to_dict(), sort_keys=True),
        "message-dtype": plan.message_dtype,
        "secure-sum": plan.secure_sum,
        "deadline-s": float(plan.deadline_s),
        "start-deadline-s": float(plan.start_deadline_s),
        "out": str(out),
    }


def read_run_config(config: Mapping[str, Any]) -> tuple[FederationConfig, Path]:
    """The reverse. Raises SarcnetError with every setting that is missing or cannot be used."""
    faults = ErrorCollector()
    for name in ("protocol", "strategy", "message-dtype", "out"):
        if not str(config.get(name, "")):
            faults.add(f"The run's setting {name} is empty: give it with flwr run --run-config.")
    for name in ("rounds", "local-epochs"):
        if int(config.get(name, 0)) < 1:
            faults.add(f"The run's setting {name} is {config.get(name, 0)}: give a whole number from 1.")
    for name in ("deadline-s", "start-deadline-s"):
        if float(config.get(name, 0)) <= 0:
            faults.add(f"The run's setting {name} is {config.get(name, 0)}: give seconds above 0.")
    faults.raise_if_any("The federation cannot start")
    plan = FederationConfig(
        Protocol.from_dict(json.loads(str(config["protocol"]))),
        rounds=int(config["rounds"]),
        local_epochs=int(config["local-epochs"]),
        strategy=StrategyConfig(**json.loads(str(config["strategy"]))),
        deadline_s=float(config["deadline-s"]),
        start_deadline_s=float(config["start-deadline-s"]),
        message_dtype=str(config["message-dtype"]),
        secure_sum=bool(config.get("secure-sum", False)),
    )
    return plan, Path(str(config["out"]))


def keep(run: FederatedRun, folder: Path) -> None:
    """Write ledger, evaluation and model; the model's description comes last, so who finds it finds the rest."""
    area, off = run.evaluation.auc
    judged = {"auc_binned": area, "auc_off_by_at_most": off}
    write_json(folder / "evaluation.json", {k: v if math.isfinite(v) else None for k, v in judged.items()})
    for name, frame in (
        ("messages", run.messages),
        ("rounds", run.rounds),
        ("calibration", run.evaluation.calibration()),
    ):
        with atomic_path(folder / f"{name}.parquet") as path:
            frame.to_parquet(path, index=False)
    model = folder / "sarcnet_fedavg.safetensors"
    save_stack(run.model, weights=model, description=model.with_suffix(".json"))


app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train under the plan in the run's configuration; a failure leaves its sentence in ``failed.txt``."""
    plan, out = read_run_config(context.run_config)
    out.mkdir(parents=True, exist_ok=True)
    (out / FAILED).unlink(missing_ok=True)
    try:
        keep(Server(plan, out / "rounds").run(grid), out)
    except Exception as error:
        with atomic_path(out / FAILED) as path:
            path.write_text(f"{error}\n", encoding="utf-8")
        raise
