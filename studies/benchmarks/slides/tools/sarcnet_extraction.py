"""sarcnet itself, by the functions that notebooks 01 and 02 call, with two threads end to end."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from worker_protocol import Task, given_task, report

from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.features.extraction import extract_cohort
from sarcnet.features.identity import Extraction, SlideTiles
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import Level0Px, TilePx, Um
from sarcnet.slides.tiling import tile_slide
from studies.benchmarks.slides.tiles import RULES, kept_corners


def main() -> None:
    """Measure; each slide is opened anew, and the encoder alone is given a batch from memory."""
    task = given_task()
    path = Path(task.slide)
    encoder = runtime_for(encoder_named("mobilenetv2_imagenet"))
    info = open_slide(path)[1]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(task.jobs) as pool, _reader(task) as reader:
        first = task.corners[: task.batch_tiles]
        batch = np.stack([reader.tile(Level0Px(x), Level0Px(y)) for x, y in first])
        calls = range(-(-task.copies * len(task.corners) // len(batch)))
        turns = itertools.count()
        report(
            task,
            package="sarcnet",
            tile=lambda x, y: reader.tile(Level0Px(x), Level0Px(y)),
            warm_up=lambda: encoder.encode(batch),
            measures={
                "tissue": lambda: len(kept_corners(path)),
                "read_1": lambda: sum(_read(task, map) for _ in range(task.copies)),
                "read_2": lambda: sum(_read(task, pool.map) for _ in range(task.copies)),
                "encoder": lambda: sum(map(len, pool.map(lambda _: encoder.encode(batch), calls))),
                "end_to_end": lambda: _extract(task, info.mpp, encoder, Path(name) / str(next(turns))),
            },
            beyond={"tiling": lambda: len(next(iter(tile_slide(path, rules=RULES).columns.values())))},
        )


def _reader(task: Task) -> TileReader:
    handle, info = open_slide(Path(task.slide))
    return TileReader(handle, info, plan(info, tile_um=Um(task.tile_um), tile_px=TilePx(task.tile_px)))


def _read(task: Task, over: Callable[..., Iterable[np.ndarray]]) -> int:
    """All tiles by one thread (`map`) or by those of a pool."""
    with _reader(task) as reader:
        return sum(1 for _ in over(lambda corner: reader.tile(*corner), task.corners))


def _extract(task: Task, mpp: float, encoder: EncoderRuntime, folder: Path) -> int:
    """Tiles of the slide and its copies, from file to feature files."""
    x, y = np.array(task.corners).T
    tiles = pd.DataFrame({"tile": range(len(x)), "x_px": x, "y_px": y})
    rows = extract_cohort(
        [SlideTiles(f"bench_{copy}", Path(task.slide), mpp, tiles) for copy in range(task.copies)],
        encoder=encoder,
        extraction=Extraction(task.tile_um, task.tile_px, tiles_max=len(tiles), batch_tiles=task.batch_tiles),
        generator=lambda slide_id: np.random.default_rng(0),
        folder=folder,
        jobs=task.jobs,
    )
    return sum(int(str(row["n_encoded"])) for row in rows)


if __name__ == "__main__":
    main()
