"""A process answers for its own memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

HOLDS = """
import numpy
from studies.benchmarks.peak_memory import peak_mb
held = numpy.ones({megabytes} * 125_000)
print(peak_mb())
"""


def peak_of_child(megabytes: int) -> float:
    command = [sys.executable, "-c", HOLDS.format(megabytes=megabytes)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_what_the_parent_holds_does_not_count():
    ballast = np.ones(600 * 125_000)  # 600 MB
    small, large = peak_of_child(1), peak_of_child(201)
    assert ballast.nbytes / 1e6 > 2 * small
    assert 190 < large - small < 215
