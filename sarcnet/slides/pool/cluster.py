"""The same work on many machines: joblib's Ray backend, with each slide still in a process of its own that may die.

Ray finds the machines and hands out tasks; joblib is how one asks it. On each machine a task is passed on to a process
beside Ray's, as `sarcnet.slides.pool.crash_safe` does at home, so a slide that crashes its decoder costs that slide and not
Ray's worker with all that hangs on it. Files are neither sent nor collected: all machines must see the same folders,
under the same paths, and have the same environment.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sarcnet.compendium.errors import SarcnetError
from sarcnet.slides.pool.crash_safe import MapFunction, Worker, WorkerCrash, map_isolated

Result = TypeVar("Result")
BACKENDS = ("local", "ray")
ALL_PROCESSORS = -1
KNOCK_S = 10.0
A_PROCESSOR = {"num_cpus": 1}  # for good: else Ray asks for one at the start only, and may put all on one machine


def map_function_for(backend: str, *, address: str | None = None) -> MapFunction:
    """How to spread tasks: "local" over processes of this machine, "ray" over a Ray cluster.

    Args:
        backend: one of BACKENDS.
        address: of the cluster's head, "host:port", or "auto" on a machine that belongs to it.

    Raises:
        SarcnetError: no such backend; no address; Ray is not installed, or no cluster answers.
    """
    if backend == "local":
        return map_isolated
    if backend != "ray":
        raise SarcnetError(f"There is no backend {backend}; there are {', '.join(BACKENDS)}.")
    if address is None:
        raise SarcnetError(
            "Backend ray needs the cluster's address: --address host:port, or auto on one of its machines."
        )
    _join(address)
    return _each_on_ray


def _join(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do by default, without its warning
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise SarcnetError(f"Ray is not installed here ({error}): pip install 'ray>=2.55', on every machine.") from None
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    except (OSError, RuntimeError, ValueError) as error:  # a ConnectionError is an OSError
        said = str(error).strip().splitlines()[0]
        raise SarcnetError(
            f"No Ray cluster answers at {address} ({said}): start one with `ray start --head`."
        ) from None
    register_ray()


def _knock(address: str) -> None:
    """Ray itself goes on trying for minutes where nobody answers."""
    host, colon, port = address.rpartition(":")
    if address != "auto" and not address.startswith("ray://"):
        if not colon or not port.isdigit():
            raise ValueError("an address is host:port, or auto")
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def _each_on_ray(
    function: Callable[..., Result], tasks: Sequence[tuple], *, jobs: int, seconds_max: float
) -> Iterator[Result | WorkerCrash]:
    """As :func:`sarcnet.slides.pool.crash_safe.map_isolated`, but all results come at the end; joblib tells how far it is.
    Tasks are dealt
    out in turn, whichever process is free. `jobs` may be ALL_PROCESSORS of the cluster.
    """
    import joblib

    calls = (joblib.delayed(_protected)(function, task, seconds_max) for task in tasks)
    with warnings.catch_warnings(), joblib.parallel_config("ray", n_jobs=jobs, ray_remote_args=A_PROCESSOR):
        warnings.simplefilter("ignore", ResourceWarning)
        results = joblib.Parallel(batch_size=1, pre_dispatch="all", verbose=5)(calls)
    yield from results


_worker: Worker | None = None


def _protected(function: Callable[..., Result], task: tuple, seconds_max: float) -> Result | WorkerCrash:
    """function(*task) in the one process that this one keeps for such calls."""
    global _worker
    _worker = _worker or Worker()
    return _worker.call(function, task, seconds_max)
