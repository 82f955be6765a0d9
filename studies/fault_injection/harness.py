"""What the fire drills share: stage a fault on real programs, say in one line what came of it, and never wait for ever."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.config import FederationError
from studies.local_federation.run import TOLERANCE, Deployment, largest_difference

OUTLIER_TIMES = 50.0  # by which a poisoned change must stand out
MODEL = "sarcnet_fedavg.safetensors"  # the name deployed.keep gives the model
SAME = "the same model as the simulation's"
LOOK_S = 0.2
START_AGAIN_S = 15.0  # pause of a supervisor whose node was refused
GIVE_UP_S = 240.0  # on a node that was started and is still refused


@dataclass(frozen=True)
class Outcome:
    """One fault: whether the federation did what docs/federation.md promises, what it said, how long it took."""

    fault: str
    promised: str
    happened: str
    kept: bool
    seconds: float


def noted(fault: str, promised: str, act: Callable[[], str], kept: Callable[[str], bool]) -> Outcome:
    """Stage one fault and print what came of it. kept: whether what `act` says, or its FederationError, was promised."""
    started = time.monotonic()
    try:
        happened = act()
    except FederationError as error:
        happened = str(error)
    outcome = Outcome(fault, promised, happened, kept(happened), time.monotonic() - started)
    judged = "as promised" if outcome.kept else "NOT AS PROMISED"
    print(f"{judged} ({outcome.seconds:.0f} s) {fault}: {happened}", flush=True)
    return outcome


def exit_code(stage: Callable[[], list[Outcome]]) -> int:
    """0 when everything that is staged went as promised; a SarcnetError is printed and makes it 1."""
    try:
        outcomes = stage()
    except SarcnetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(outcome.kept for outcome in outcomes) else 1


def compared(simulated: Path, out: Path) -> str:
    """Whether the programs' model in ``out`` is the simulation's, and which array differs most; starts with SAME if it is."""
    array, difference = largest_difference(simulated, out / MODEL)
    same = SAME if difference <= TOLERANCE else "another model than the simulation's"
    return f"{same} (largest difference {difference:.2g}, {array})"


def finished_rounds(out: Path) -> list[Path]:
    """The records of the rounds on disk."""
    return sorted(out.glob("rounds/*/round_*.json"))


def wait_until(happened: Callable[[], bool], *, what: str, over: threading.Event, limit_s: float) -> None:
    """Raises FederationError when it has not happened before ``over`` is set, or after limit_s seconds."""
    end = time.monotonic() + limit_s
    while not happened():
        if over.wait(LOOK_S) or time.monotonic() > end:
            raise FederationError(f"Too late for the fault: {what} did not come before the run's end.")


@contextmanager
def meanwhile(act: Callable[[threading.Event], None], *, limit_s: float) -> Iterator[None]:
    """Do something beside the block, which waits for a run; ``act`` is given an event that is set at the block's end.

    A fault that could not be staged is raised behind the block, with what the block said.
    """
    failed: list[Exception] = []
    over = threading.Event()

    def do() -> None:
        try:
            act(over)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    said: FederationError | None = None
    try:
        yield
    except FederationError as error:
        said = error
    over.set()
    thread.join(timeout=limit_s)
    if failed:
        raise FederationError(f"{failed[0]} The run: {said or 'ended with a model'}")
    if said:
        raise said


def kill_after_first_round(
    deployment: Deployment, hospital: str, out: Path, *, over: threading.Event, limit_s: float
) -> None:
    """Cut a node's power once the first round is on disk."""
    wait_until(lambda: bool(finished_rounds(out)), what="the first round", over=over, limit_s=limit_s)
    deployment.programs.end(f"node {hospital}", at_once=True)


def bring_back(deployment: Deployment, hospital: str, start: Callable[[], None], *, limit_s: float = GIVE_UP_S) -> None:
    """Start a node again and again until the SuperLink takes it, as systemd would.

    One that is still running is ended first. A node that was killed counts as present for up to a minute, and its
    successor is refused as long. Raises FederationError when it is still refused after limit_s seconds.
    """
    name = f"node {hospital}"
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        deployment.programs.end(name)
        before = said(deployment, hospital).count("SuperNode ID")
        start()
        while deployment.programs.started[name].poll() is None and time.monotonic() < end:
            if said(deployment, hospital).count("SuperNode ID") > before:
                return
            time.sleep(LOOK_S)
        time.sleep(START_AGAIN_S)
    last = deployment.programs.last_words(name)
    raise FederationError(f"The node of {hospital} was not taken back within {limit_s:.0f} s: {last}")


def said(deployment: Deployment, hospital: str) -> str:
    """Everything a hospital's node has said since its first start."""
    log = deployment.programs.log(f"node {hospital}")
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
