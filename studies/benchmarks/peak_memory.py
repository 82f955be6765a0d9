"""How much memory a process has needed at most."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path


def peak_mb() -> float:
    """Peak memory of this process since its program began, MB.

    Linux's getrusage also counts what the parent held when it started this one, which would hide all that is smaller;
    the kernel's own count (VmHWM) does not. Elsewhere getrusage has to do.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
