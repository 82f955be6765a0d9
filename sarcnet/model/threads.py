"""One thread for torch, so that sums of floats come out alike on every number of cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread within the block: the same numbers in Ray, in one process, at a hospital and on any machine.

    For networks as small as these two threads gain little when the machine is idle, and lose several times over when it
    is not (`python -m studies.benchmarks.federation` beside other work).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
