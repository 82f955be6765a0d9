"""Progress: a bar in a terminal, a bar in a live notebook, a line every five seconds in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5.0


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def headless() -> bool:
    """Whether nobody watches: under the runner, under papermill, or with output sent to a file."""
    if os.environ.get("SARCNET_HEADLESS"):
        return True
    if in_kernel():
        from IPython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        return not getattr(kernel, "_allow_stdin", True)  # papermill starts kernels that cannot ask anything
    return not sys.stderr.isatty()


def track(items: Iterable[Item], *, total: int | None = None, what: str = "items") -> Iterator[Item]:
    """Yield `items` and show how many are done.

    Args:
        items: what is worked on, one at a time.
        total: how many there will be; taken from ``len(items)`` when it has one.
        what: their name in the plural, for example "slides".

    Yields:
        The items, unchanged.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not headless():
        from tqdm.auto import tqdm

        yield from tqdm(items, total=total, desc=what)
        return
    begin = last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += 1
        line = f"{what}: {count}" + (f" of {total}" if total else "")
        now = time.monotonic()
        _tell_the_runner(line)
        if now - last >= SECONDS_BETWEEN_LINES and count != total:
            print(line, flush=True)
            last = now
    print(f"{what}: {count}, {time.monotonic() - begin:.1f} s", flush=True)


def _tell_the_runner(line: str) -> None:
    if path := os.environ.get("SARCNET_PROGRESS"):
        with open(path, "a") as file:
            file.write(line + "\n")
