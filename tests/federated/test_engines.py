"""The two engines give the same numbers, and Ray leaves nothing behind."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from flwr.supercore import telemetry
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import load_file

from sarcnet.federated.config import FederationError
from sarcnet.federated.engines import simulation
from sarcnet.federated.engines.simulation import quiet_flower, simulate
from sarcnet.federated.flower_internals import act_as_server, disable_telemetry
from sarcnet.model.threads import one_thread

#: Ray keeps threads and sockets for as long as its process lives, so it gets a process of its own.
#: A crowded machine may take many minutes to start Ray and two nodes: the test waits for them, and for nothing else.
PATIENCE_S = 1800
BY_RAY = (
    f"PATIENCE_S = {PATIENCE_S}"
    + """
import json, sys
from pathlib import Path
from safetensors.torch import save_file
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from sarcnet.model.protocol import Protocol

folder = Path(sys.argv[1])
plan = FederationConfig(
    Protocol.from_dict(json.loads((folder / "protocol.json").read_text())), rounds=2, local_epochs=1,
    deadline_s=PATIENCE_S, start_deadline_s=PATIENCE_S,
)
hospitals = {name: folder / "hospitals" / name for name in plan.hospitals}
run = simulate(plan, hospitals=hospitals, rounds_folder=folder / "ray", engine="ray")
save_file(run.model.network.state_dict(), str(folder / "ray.safetensors"))
run.messages.to_parquet(folder / "ray.parquet")
(folder / "seconds.json").write_text(json.dumps(run.seconds))
"""
)


def test_ray_equals_inprocess_and_leaves_nothing_behind(cohort, make_plan):
    plan, hospitals, folder = make_plan(rounds=2), cohort.hospitals(), cohort.folder
    (folder / "protocol.json").write_text(json.dumps(plan.protocol.to_dict()))
    started, leftover_folders = time.time(), set(Path("/tmp").glob("ray*"))
    command = [sys.executable, "-W", "ignore", "-c", BY_RAY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == "" or len(done.stdout + done.stderr) < 500, done.stdout + done.stderr
    here = simulate(plan, hospitals=hospitals, rounds_folder=folder / "here", engine="inprocess")
    by_ray = load_file(folder / "ray.safetensors")
    for name, tensor in here.model.network.state_dict().items():
        np.testing.assert_array_equal(by_ray[name], tensor.numpy(), err_msg=name)
    assert pd.read_parquet(folder / "ray.parquet").equals(here.messages)
    assert json.loads((folder / "seconds.json").read_text())["ray start"] > 0
    assert set(Path("/tmp").glob("ray*")) <= leftover_folders
    assert orphans(started) == []


def orphans(since: float) -> list[str]:
    """Ray's processes that have lost their parent."""
    found = psutil.process_iter(["name", "ppid", "create_time"])
    return [
        p.info["name"]
        for p in found
        if p.info["name"].startswith(("ray::", "raylet", "gcs_server"))
        and p.info["ppid"] == 1
        and p.info["create_time"] > since
    ]


def test_ray_that_does_not_start_is_tried_again_and_then_a_sentence(monkeypatch):
    tried = []

    def fails(folder, cpus):
        tried.append(folder.name)
        raise TimeoutError("the node timed out")

    monkeypatch.setattr(simulation, "_start_ray", fails)
    before = set(Path("/tmp").glob("ray*"))
    with (
        pytest.raises(FederationError, match=r"Ray did not start \(the node timed out\): close other programs"),
        simulation.ray_started(cpus=1),
    ):
        pass
    assert tried == ["1", "2", "3", "4"]
    assert set(Path("/tmp").glob("ray*")) <= before


def test_flower_speaks_into_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("FLWR_TELEMETRY_ENABLED", raising=False)
    log = logging.getLogger("flwr")
    before = list(log.handlers)
    with quiet_flower(tmp_path / "flower.log"):
        assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
        log.warning("a word")
    assert log.handlers == before
    assert "FLWR_TELEMETRY_ENABLED" not in os.environ
    assert "a word" in (tmp_path / "flower.log").read_text()


def test_flower_still_has_the_private_parts_we_touch():
    """When this fails after an update of flwr, look at sarcnet/federated/flower_internals.py first."""
    act_as_server(17)
    assert (TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id) == (17, 1, 1)
    assert hasattr(telemetry, "FLWR_TELEMETRY_ENABLED")
    disable_telemetry()
    assert telemetry.FLWR_TELEMETRY_ENABLED == "0"


def test_a_hospital_computes_on_one_thread_and_gives_the_others_back():
    torch.set_num_threads(2)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
