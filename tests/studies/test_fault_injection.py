"""What the fire drills stand on: an outcome is judged by its words, waits end, a fault that came too late is said."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.config import FederationError
from studies.fault_injection.harness import (
    MODEL,
    SAME,
    Outcome,
    bring_back,
    compared,
    exit_code,
    kill_after_first_round,
    meanwhile,
    noted,
    wait_until,
)
from studies.local_federation.processes import running


def refuse() -> str:
    raise FederationError("Hospital IB did not answer")


@pytest.mark.parametrize(("words", "kept"), [("IB", True), ("CLB", False)])
def test_an_outcome_is_what_was_said_whether_or_not_it_was_an_error(words, kept, capsys):
    outcome = noted("IB is late", "named", refuse, lambda text: words in text)
    assert (outcome.happened, outcome.kept) == ("Hospital IB did not answer", kept)
    printed = capsys.readouterr().out
    assert printed.startswith("as promised" if kept else "NOT AS PROMISED")
    assert printed.count("\n") == 1


def test_one_broken_promise_or_an_error_makes_the_exit_code_one(capsys):
    def outcomes(*kept: bool) -> list[Outcome]:
        return [Outcome("", "", "", one, 0.0) for one in kept]

    def broken() -> list[Outcome]:
        raise SarcnetError("no room")

    assert exit_code(lambda: outcomes(True, True)) == 0
    assert exit_code(lambda: outcomes(True, False)) == 1
    assert exit_code(broken) == 1
    assert "no room" in capsys.readouterr().err


@pytest.mark.parametrize(("by", "same"), [(0.0, True), (1e-6, True), (1e-3, False)])
def test_models_are_the_same_within_the_tolerance_only(tmp_path, by, same):
    save_file({"w": np.zeros(2, np.float32)}, str(tmp_path / "simulated"))
    save_file({"w": np.full(2, by, np.float32)}, str(tmp_path / MODEL))
    assert compared(tmp_path / "simulated", tmp_path).startswith(SAME) == same


def test_a_fault_that_comes_too_late_is_said_with_the_runs_words():
    def too_late(over: threading.Event) -> None:
        wait_until(lambda: False, what="the first round", over=over, limit_s=3600)

    started = time.monotonic()
    with (
        pytest.raises(FederationError, match=r"the first round did not come before .* The run: Hospital IB did not"),
        meanwhile(too_late, limit_s=3600),
    ):
        refuse()
    with (
        pytest.raises(FederationError, match="The run: ended with a model"),
        meanwhile(too_late, limit_s=3600),
    ):
        pass
    with pytest.raises(FederationError, match="Hospital IB did not answer"), meanwhile(lambda over: None, limit_s=3600):
        refuse()
    assert time.monotonic() - started < 600


@pytest.fixture
def programs(tmp_path):
    with running(tmp_path / "logs", environment={}) as programs:
        yield programs


def node(programs, script):
    programs.start("node IB", [sys.executable, "-c", script])


def test_a_killed_node_cannot_say_goodbye(programs, tmp_path):
    script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(print('bye')))\n"
    node(programs, script + "print('SuperNode ID: 1', flush=True); time.sleep(900)")
    programs.wait_for(lambda: "ID" in programs.log("node IB").read_text(), what="the start", limit_s=300)
    (tmp_path / "rounds" / "key").mkdir(parents=True)
    (tmp_path / "rounds" / "key" / "round_001.json").write_text("{}")
    process = programs.started["node IB"]
    deployment = SimpleNamespace(programs=programs)
    kill_after_first_round(deployment, "IB", tmp_path, over=threading.Event(), limit_s=300)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert "bye" not in programs.log("node IB").read_text()


def test_a_node_is_started_until_it_is_taken(programs, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.fault_injection.harness.START_AGAIN_S", 0.1)
    deployment = SimpleNamespace(programs=programs)
    starts = []

    def start() -> None:
        starts.append(None)
        accepted = "print('SuperNode ID: 1', flush=True); import time; time.sleep(900)"
        node(programs, accepted if len(starts) == 3 else "raise SystemExit('still present')")

    bring_back(deployment, "IB", start, limit_s=600)
    assert len(starts) == 3
    programs.end("node IB")
    with pytest.raises(FederationError, match=r"IB was not taken back within 1 s: .*still present"):
        bring_back(deployment, "IB", lambda: node(programs, "raise SystemExit('still present')"), limit_s=1)
