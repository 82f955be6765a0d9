"""Programs that run beside this one: started with a log, waited for with a limit, ended with all their children."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sarcnet.federated.config import FederationError

LOOK_S = 0.2  # pause between two looks
ENDING_S = 5.0  # patience with a program that was told to end


@dataclass
class Programs:
    """Running programs by name. Use `running`: it ends all of them, whatever happens."""

    logs: Path
    environment: Mapping[str, str]
    started: dict[str, psutil.Popen] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str], **environment: str) -> psutil.Popen:
        """Start a program; what it says goes to ``<logs>/<name>.log``."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with open(self.log(name), "ab") as log:
            self.started[name] = psutil.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, **environment},
            )
        return self.started[name]

    def log(self, name: str) -> Path:
        """Where a program's words are."""
        return self.logs / f"{name}.log"

    def run(self, name: str, command: Sequence[str], *, limit_s: float, **environment: str) -> int:
        """Start a program and wait until it ends; returns its exit code. Raises FederationError after limit_s seconds."""
        process = self.start(name, command, **environment)
        try:
            return int(process.wait(timeout=limit_s))
        except psutil.TimeoutExpired:
            self.end(name)
            raise FederationError(
                f"{name} did not end within {limit_s:.0f} s and was stopped: see {self.log(name)}."
            ) from None

    def wait_for(self, ready: Callable[[], bool], *, what: str, limit_s: float, needs: Sequence[str] = ()) -> None:
        """Wait until ready() is true.

        needs: programs that must stay alive meanwhile. Raises FederationError when one ends or limit_s seconds pass.
        """
        end = time.monotonic() + limit_s
        while not ready():
            for name in needs:
                if (code := self.started[name].poll()) is not None:
                    raise FederationError(
                        f"{name} ended with exit code {code} before {what}. Its last words: {self.last_words(name)}"
                    )
            if time.monotonic() > end:
                raise FederationError(f"{what} did not happen within {limit_s:.0f} s: see the logs in {self.logs}.")
            time.sleep(LOOK_S)

    def last_words(self, name: str, *, lines: int = 3) -> str:
        """The end of a program's log, on one line."""
        with suppress(OSError):
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
            said = [line.strip() for line in text.splitlines() if line.strip()]
            return " | ".join(said[-lines:]) or "(none)"
        return "(none)"

    def end(self, name: str, *, at_once: bool = False) -> None:
        """End a program and all processes it started.

        at_once: like a power cut, so that it can tell nobody; otherwise it may say goodbye first.
        """
        process = self.started.pop(name, None)
        if process is None:
            return
        family = [process]
        with suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill() if at_once else member.terminate()
        _, alive = psutil.wait_procs(family, timeout=ENDING_S)
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(alive, timeout=ENDING_S)


@contextmanager
def running(logs: Path, *, environment: Mapping[str, str]) -> Iterator[Programs]:
    """A place to start programs; at its end none is left, last started first."""
    programs = Programs(logs, environment)
    try:
        yield programs
    finally:
        for name in reversed(list(programs.started)):
            programs.end(name)


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
