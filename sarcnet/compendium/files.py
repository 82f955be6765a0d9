"""Files that are there whole or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on an error.

    The temporary name keeps the suffix of `path`, because some writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically. NaN and infinity are refused: JSON has none."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashBook:
    """Checksums of files, remembered by path, size and time of change, so that big slides are read once.

    The time only saves reading: a file whose size and modification time (ns) are as remembered is taken to be
    unchanged; any other is read again and, if its contents are the same, has the same checksum.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._known: dict[str, list] = {}
        self._dirty = False
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            self._known = json.loads(self.path.read_text())

    def sha256(self, path: Path) -> str:
        """SHA-256 of `path`.

        Raises:
            FileNotFoundError: there is no such file.
        """
        status = path.stat()
        mark = [status.st_size, status.st_mtime_ns]
        known = self._known.get(str(path))
        if known is None or known[:-1] != mark:
            known = [*mark, sha256(path)]
            self._known[str(path)] = known
            self._dirty = True
        return known[-1]

    def save(self) -> None:
        """Write the book when something was added."""
        if self._dirty:
            write_json(self.path, self._known)
            self._dirty = False
