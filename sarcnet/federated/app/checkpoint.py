"""Finished rounds on disk: a run that was broken off goes on behind its last finished round.

A round is two files, ``round_003.safetensors`` (the averaged model) and ``round_003.json`` (losses, ledger, sha256 of
the first), the JSON last: without it the round does not count. A strategy with a memory (FedAdam, FedYogi) leaves it in
``round_003_memory.safetensors``. They lie in a folder named after everything that shapes them (`Plan.key`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from sarcnet.compendium.files import atomic_path


@dataclass(frozen=True)
class FinishedRound:
    """The averaged model after a round, the losses the hospitals reported, the messages of that round, and the server's
    memory."""

    number: int
    arrays: dict[str, np.ndarray]
    rows: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    memory: dict[str, np.ndarray] = field(default_factory=dict)


def save_round(folder: Path, finished: FinishedRound) -> None:
    """Write a round; it counts once its JSON is there."""
    weights, memory = round_file(folder, finished.number), _memory_file(folder, finished.number)
    folder.mkdir(parents=True, exist_ok=True)
    for target, arrays in ((memory, finished.memory), (weights, finished.arrays)):
        if arrays or target is weights:
            with atomic_path(target) as path:
                save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, str(path))
    record = {
        "round": finished.number,
        "sha256": _digest(weights),
        "memory_sha256": _digest(memory) if finished.memory else "",
        "rows": finished.rows,
        "messages": finished.messages,
    }
    with atomic_path(weights.with_suffix(".json")) as path:
        path.write_text(json.dumps(record) + "\n")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _memory_file(folder: Path, number: int) -> Path:
    return folder / f"round_{number:03d}_memory.safetensors"


def round_file(folder: Path, number: int) -> Path:
    """Path of the model after this round."""
    return folder / f"round_{number:03d}.safetensors"


def load_rounds(folder: Path, *, upto: int) -> list[FinishedRound]:
    """All finished rounds from the first without a gap, at most ``upto``.

    A damaged one ends the list, and is made again.
    """
    rounds: list[FinishedRound] = []
    for number in range(1, upto + 1):
        weights = round_file(folder, number)
        try:
            record = json.loads(weights.with_suffix(".json").read_text())
            memory = _load(_memory_file(folder, number), record["memory_sha256"]) if record["memory_sha256"] else {}
            arrays = _load(weights, record["sha256"])
            rounds.append(FinishedRound(number, arrays, record["rows"], record["messages"], memory))
        except (OSError, ValueError, KeyError):
            break
    return rounds


def _load(path: Path, digest: str) -> dict[str, np.ndarray]:
    """The arrays of a file; raises ValueError when it is not the one that was written."""
    if _digest(path) != digest:
        raise ValueError(f"{path} is damaged: its sha256 is not that of the file that was written.")
    return load_file(str(path))
