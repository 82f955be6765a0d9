"""Freed memory is kept, in a process that reads tiles, for the tiles to come."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from sarcnet.slides.reader.malloc import KEPT_PIECE_BYTES, keep_freed_memory

PIECE_BYTES, ROUNDS = 600_000, 50
FAULTS = f"""
import resource
import sys
from sarcnet.slides.reader.malloc import keep_freed_memory

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        pieces = [bytearray(size) for _ in range(3)]  # region, copy, what the resample makes of it
        del pieces
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / {ROUNDS} / 3

small, large = {PIECE_BYTES}, {2 * KEPT_PIECE_BYTES}
if sys.argv[1] == "kept":
    keep_freed_memory()
print(faults(small), faults(large))
"""

gnu_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is GNU's C library's")


def _faults(kept: str) -> tuple[float, float]:
    """Pages that the kernel had to give for a piece of the size of a region, and for one that is larger than what is kept."""
    done = subprocess.run([sys.executable, "-c", FAULTS, kept], check=True, capture_output=True, text=True, timeout=900)
    small, large = map(float, done.stdout.split())
    return small, large


@gnu_only
def test_a_tile_takes_the_pages_of_the_tile_before():
    pages = PIECE_BYTES / 4096
    small, large = _faults("kept")
    assert small < 0.1 * pages  # given once, then kept
    assert large > 0.5 * 2 * KEPT_PIECE_BYTES / 2**21  # thumbnails go back to the system, page by page or by huge pages
    assert _faults("not kept")[0] > 0.3 * pages


def test_where_the_c_library_is_another_nothing_is_set(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory.__wrapped__() is False
