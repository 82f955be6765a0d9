"""What the runner prints: lines in a log, one living line in a terminal."""

from __future__ import annotations

import shutil
import sys
import time


def duration(seconds: float) -> str:
    """Seconds as people say them: "7 s", "3 min 20 s", "1 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Terminal:
    """Prints lines; shows progress on one line that it overwrites, or every five seconds when output is a file."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self._last = float("-inf")
        self._shown = False

    def line(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(text, flush=True)

    def progress(self, text: str) -> None:
        """A line of the moment."""
        if self.live:
            width = shutil.get_terminal_size().columns - 3
            print(f"\r\x1b[2K  {text[:width]}", end="", flush=True)
            self._shown = True
        elif time.monotonic() - self._last >= 5:
            print(f"  {text}", flush=True)
            self._last = time.monotonic()

    def clear(self) -> None:
        """Remove the line of the moment."""
        if self._shown:
            print("\r\x1b[2K", end="", flush=True)
            self._shown = False
