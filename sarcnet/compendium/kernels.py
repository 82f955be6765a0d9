"""Kernels of a run: the first one starts as any kernel does, those after it fork from a process that is already warm.

Importing torch, lightning and the plotting libraries takes longer than many a stage works. So while the first stage is
at work, a second process imports them once (the fork server of Python's `multiprocessing`), and every later kernel is
a fork of it: a process of its own, with nothing of ours loaded and nothing computed, as a fresh one. Only libraries
that start no thread and no connection on import are warmed; fork is used on Linux only, where they support it. A
demo run saves about 20 s of processor time by it: the imports of six kernels take 29 s, once they take 8 s. A test runs
one notebook in a forked and in a plain kernel and compares what they show.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

PROVISIONER = "sarcnet-forked"  # as in pyproject.toml
KERNEL = ("ipykernel.kernelapp",)
SLOW = {  # library -> what to import of it
    "pandas": "pandas",
    "matplotlib": "matplotlib",  # no more of it: what hooks into IPython must be imported in the kernel itself
    "seaborn": "seaborn",
    "scipy": "scipy.stats",
    "sklearn": "sklearn",
    "lifelines": "lifelines",
    "torch": "torch",
    "lightning": "lightning.pytorch",
}


def warm(libraries: Iterable[str], environment: Mapping[str, str]) -> bool:
    """Start to import those of the libraries that are slow, in a process beside this one.

    Args:
        libraries: names of libraries that kernels will import; the others in SLOW are left alone.
        environment: variables that libraries read while they are imported.

    Returns:
        Whether kernels can fork here.
    """
    if sys.platform != "linux":
        return False
    named = set(libraries)
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        forkserver.set_forkserver_preload([*KERNEL, *(module for name, module in SLOW.items() if name in named)])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return True


class Forked:
    """A kernel's process, with those methods of `subprocess.Popen` that Jupyter calls."""

    stdin = stdout = stderr = None

    def __init__(self, command: list[str], environment: dict[str, str], folder: str) -> None:
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(target=_be_kernel, args=(command, environment, folder))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedProvisioner(LocalProvisioner):
    """Launches kernels by fork; found by Jupyter through the entry point in pyproject.toml."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel; `cmd` ends with the arguments of ipykernel ("-f", connection file)."""
        folder = str(kwargs.get("cwd") or Path.cwd())
        process = Forked(cmd[cmd.index("-f") :], dict(kwargs.get("env") or os.environ), folder)
        self.process = process  # type: ignore[assignment]
        self.pid = self.pgid = process.pid
        self.cwd = folder
        return self.connection_info


def _be_kernel(command: list[str], environment: dict[str, str], folder: str) -> None:
    os.setsid()  # a group of its own: an interrupt in the terminal is the runner's to handle
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    command = [*command, f"--IPKernelApp.parent_handle={os.getppid()}"]
    os.chdir(folder)
    log = os.open(environment["SARCNET_KERNEL_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 2)
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(sys.argv[0])]
    from ipykernel.kernelapp import IPKernelApp

    try:
        IPKernelApp.launch_instance(command)
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without


def _end_with_the_run() -> None:
    """Leave when the run that started this kernel is gone; the fork server, its parent, lives as long as its forks."""
    run = multiprocessing.parent_process()
    assert run is not None
    run.join()
    os._exit(1)
