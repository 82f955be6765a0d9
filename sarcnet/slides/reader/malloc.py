"""Memory that a process has freed, kept for its next tile.

Each tile takes and frees a few pieces of half a megabyte: decoded pixels, the region, what the resample works on. The GNU
C library hands such pieces back to the system at once, so that for the next tile the kernel has to map and wipe some 300
fresh pages; where the pixels of four tiles make one, that took about as long as resampling them.
"""

from __future__ import annotations

import ctypes
import functools
import platform

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # names in mallopt(3)
KEPT_PIECE_BYTES = 8 * 2**20  # larger ones, such as thumbnails, still go back to the system when they are freed
KEPT_BYTES = 128 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """From now on this process keeps up to 128 MiB of what it frees, in pieces of at most 8 MiB. It changes no result.

    Returns:
        Whether there was something to set: False where the C library is not GNU's (macOS, Windows, Alpine).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {MMAP_THRESHOLD: KEPT_PIECE_BYTES, TRIM_THRESHOLD: KEPT_BYTES}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
