"""What is done of a slide that is not finished: one record for each encoded batch, appended as it comes.

A process may be killed at any moment, also in the middle of a record. Each record therefore carries a checksum; on
opening, everything after the last whole record is cut off. (HDF5 itself is no help here: a file that was being written
when its process died may not open again.)
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

DTYPE = np.float16
_HEAD = struct.Struct("<III32s")  # batch, rows, features a row, sha256 of what follows


class PartialFeatures:
    """Batches of one slide by number. `add` may be called from many threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._places: dict[int, tuple[int, int, int]] = {}  # batch -> offset of its data, rows, features a row
        self._lock = threading.Lock()
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(self._scan())
        self._file.seek(0, 2)

    def __contains__(self, batch: int) -> bool:
        return batch in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, batch: int, *, rows: np.ndarray, features: np.ndarray) -> None:
        """Keep one batch: rows (k,) among the chosen tiles, and their features (k, d), kept as float16."""
        data = np.ascontiguousarray(rows, np.int64).tobytes() + np.ascontiguousarray(features, DTYPE).tobytes()
        head = _HEAD.pack(batch, *features.shape, hashlib.sha256(data).digest())
        with self._lock:
            at = self._file.seek(0, 2)
            self._file.write(head + data)
            self._file.flush()
            self._places[batch] = (at + _HEAD.size, *features.shape)

    def rows(self) -> np.ndarray:
        """(n,) rows of all batches, in order of the batches."""
        parts = [rows for rows, _ in self.blocks()]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows (k,) int64 and features (k, d) float16 of each batch, in order of the batches, one at a time."""
        for batch in sorted(self._places):
            at, count, dim = self._places[batch]
            with self._lock:
                self._file.seek(at)
                data = self._file.read(8 * count + 2 * count * dim)
            yield np.frombuffer(data, np.int64, count), np.frombuffer(data, DTYPE, offset=8 * count).reshape(count, dim)

    def close(self, *, remove: bool = False) -> None:
        """Close the file, and remove it once the slide is finished."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)

    def _scan(self) -> int:
        """Note all whole records; return where they end."""
        end = 0
        while True:
            self._file.seek(end)
            head = self._file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return end
            batch, count, dim, checksum = _HEAD.unpack(head)
            data = self._file.read(8 * count + 2 * count * dim)
            if hashlib.sha256(data).digest() != checksum:
                return end
            self._places[batch] = (end + _HEAD.size, count, dim)
            end += _HEAD.size + len(data)
