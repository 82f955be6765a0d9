"""What every worker of the slide benchmark shares: it is given one JSON file, and its last line is one JSON object.

Imported by scripts that run in other tools' environments, so it needs NumPy and ONNX Runtime but nothing of sarcnet.
Repeats go round and round, so that a slow minute of the machine hurts all measurements of a tool alike.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

MEASURES = ("tissue", "read_1", "read_2", "encoder", "end_to_end", "tiling")
"""tissue + coordinates; reading by one thread; by `jobs`; encoder alone; file to features; tissue + quality of each tile."""
COMPARED = 16  # tiles whose mean colour shows whether tools read the same glass


@dataclass(frozen=True)
class Task:
    """One slide for one tool.

    `corners`: top-left corners of the tiles, level-0 pixels, in the order in which to read them. `copies`: how many such
    slides are read and encoded, one after the other as in a cohort; each is opened anew. `mpp`: µm/px of level 0.
    `onnx`: graph of the encoder, uint8 (n, tile_px, tile_px, 3) -> float32 (n, d). `jobs`: cores to use.
    """

    slide: str
    corners: list[tuple[int, int]]
    copies: int
    mpp: float
    tile_um: float
    tile_px: int
    onnx: str
    batch_tiles: int
    jobs: int
    repeats: int

    @property
    def target_mpp(self) -> float:
        """µm per tile pixel."""
        return self.tile_um / self.tile_px

    @property
    def side_px(self) -> int:
        """Side of a tile on level 0, in whole pixels as most tools have it."""
        return round(self.tile_um / self.mpp)


def given_task() -> Task:
    """The task in the file that the command line names."""
    content = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    content["corners"] = [(int(x), int(y)) for x, y in content["corners"]]
    return Task(**{field.name: content[field.name] for field in fields(Task)})


def load_encoder(task: Task, *, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The encoder under ONNX Runtime: (n, tile_px, tile_px, 3) uint8 -> (n, d) float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(task.onnx, options, providers=["CPUExecutionProvider"])
    return lambda tiles: np.asarray(session.run(["features"], {"tiles": np.ascontiguousarray(tiles)})[0])


def report(
    task: Task,
    *,
    package: str,
    tile: Callable[[int, int], np.ndarray],
    measures: Mapping[str, Callable[[], int]],
    beyond: Mapping[str, Callable[[], int]] | None = None,
    why_not: Mapping[str, str] | None = None,
    warm_up: Callable[[], object] = lambda: None,
) -> None:
    """Run the measures and print the result as one JSON line.

    Args:
        task: what was asked.
        package: distribution whose version is told.
        tile: (x, y) of level 0 -> (tile_px, tile_px, 3) uint8, as this tool reads it.
        measures: name out of MEASURES -> work that returns how many tiles (or coordinates) came out.
        beyond: likewise, measured afterwards and left out of the peak memory: what other tools do not do.
        why_not: measures that the tool does not offer, with the reason.
        warm_up: done once before the clock starts, after the first tiles were read.
    """
    why = dict(why_not or {})
    colours = [
        [float(v) for v in np.asarray(tile(*corner))[..., :3].mean((0, 1))] for corner in task.corners[:COMPARED]
    ]
    warm_up()
    seconds: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for _ in range(task.repeats):
        _clock(measures, seconds, counts, why)
    peak_mb = _peak_mb()
    for _ in range(task.repeats):
        _clock(beyond or {}, seconds, counts, why)
    result = {
        "version": importlib.metadata.version(package),
        "seconds": {name: values for name, values in seconds.items() if name not in why},
        "counts": {name: count for name, count in counts.items() if name not in why},
        "why_not": why,
        "colours": colours,
        "peak_mb": peak_mb,
    }
    sys.stdout.flush()
    os.write(1, (json.dumps(result) + "\n").encode())


def _clock(
    measures: Mapping[str, Callable[[], int]],
    seconds: dict[str, list[float]],
    counts: dict[str, int],
    why: dict[str, str],
) -> None:
    """Each measure once; one that fails is not tried again, its reason is kept."""
    for name, work in measures.items():
        if name in why:
            continue
        start = time.perf_counter()
        try:
            counts[name] = int(work())
        except Exception as error:
            why[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            seconds.setdefault(name, []).append(time.perf_counter() - start)


def _peak_mb() -> float:
    """Of this process, and of the largest of its own helpers where it had any."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit
