from __future__ import annotations

from collections.abc import Iterator

import pytest

from sarcnet.model import threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny arrays: more threads only wait for each other."""
    with threads.one_thread():
        yield
