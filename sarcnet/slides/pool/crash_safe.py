"""Work in processes that may die or hang without taking the rest along.

OpenSlide and the libraries under it are C, and a damaged file can end the process that decodes it (a segmentation
fault, or the kernel when memory runs out). A pool of joblib or concurrent.futures then gives up as a whole and does
not say which task it was. Here every worker has one task at a time, so the one that was lost is known, and a fresh
process goes on with the next. Kept for that: no pool of the libraries named loses one task only.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, BinaryIO, Protocol, TypeVar, cast

Result = TypeVar("Result")
LAST_WORDS_BYTES = 300


@dataclass(frozen=True)
class WorkerCrash:
    """In place of a result: the process ended (`how` names the signal or exit code) or overran its time.

    `last_words`: the end of what it printed, which is often the library's own complaint.
    """

    how: str
    overran: bool
    last_words: str


class MapFunction(Protocol):
    """A way to spread tasks over processes, with the arguments and results of :func:`map_isolated`."""

    def __call__(
        self, function: Callable[..., Result], tasks: Sequence[tuple], *, jobs: int, seconds_max: float
    ) -> Iterator[Result | WorkerCrash]: ...


def map_isolated(
    function: Callable[..., Result], tasks: Sequence[tuple], *, jobs: int, seconds_max: float
) -> Iterator[Result | WorkerCrash]:
    """function(*task) for every task, in their order, each as soon as it and those before it are done.

    Args:
        function: importable by name; it, its arguments and its result are pickled.
        tasks: arguments of each call.
        jobs: processes. 0 calls `function` in this process: for tests and debuggers, without protection.
        seconds_max: a task that takes longer is ended.

    Raises:
        Exception: what `function` raised, at its turn.
    """
    if jobs == 0:
        yield from (function(*task) for task in tasks)
        return
    workers = [Worker() for _ in range(min(jobs, max(1, len(tasks))))]
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def one(task: tuple) -> Result | WorkerCrash:
        worker = free.get()
        try:
            return cast("Result | WorkerCrash", worker.call(function, task, seconds_max))
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers), thread_name_prefix="slides") as pool:
        futures = [pool.submit(one, task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            for worker in workers:
                worker.stop()


class Worker:
    """One process, started on the first call and again after it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._words: BinaryIO | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def call(self, function: Callable, task: tuple, seconds_max: float) -> Any:
        process = self._started()
        if process is None:
            return WorkerCrash("stopped", False, "")
        overran = threading.Event()

        def end() -> None:
            overran.set()
            process.kill()

        clock = threading.Timer(seconds_max, end)
        clock.daemon = True
        clock.start()
        try:
            pickle.dump((function, task), process.stdin)
            process.stdin.flush()
            good, answer = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return self._lost(process, overran.is_set())
        finally:
            clock.cancel()
        if not good:
            raise answer
        return answer

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None:
                _end(self._process)
                cast(BinaryIO, self._words).close()
                self._process = None

    def _started(self) -> Any:
        with self._lock:
            if self._process is None and not self._stopped:
                self._words = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  closed in _lost and stop
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "sarcnet.slides.pool.worker_main"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._words,
                )
            return None if self._stopped else self._process

    def _lost(self, process: subprocess.Popen, overran: bool) -> WorkerCrash:
        _end(process)
        code = process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        with self._lock:
            if self._process is None:  # stopped meanwhile
                return WorkerCrash(how, overran, "")
            self._process = None
            with cast(BinaryIO, self._words) as words:
                words.seek(0)
                said = words.read()[-LAST_WORDS_BYTES:].decode(errors="replace")
        return WorkerCrash(how, overran, " ".join(said.split()))


def _end(process: subprocess.Popen) -> None:
    """Close the pipes and make sure that it is gone."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            cast(BinaryIO, pipe).close()
    process.wait()
