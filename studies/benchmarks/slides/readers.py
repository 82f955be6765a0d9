"""How much faster is the direct reader than OpenSlide? `python -m studies.benchmarks.slides.readers [SLIDE …]` prints a table.

Both read the same tiles in the order of the grid, in turns within one run, by one thread and by two, each time with a
newly opened slide; first every tile is compared. Two slides of texture are always measured: one whose finest level is
read as it is, and one that is resampled by 2.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarcnet.slides.reader.grid import tile_grid
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.resampling import resample
from sarcnet.slides.reader.units import Level0Px, TilePx, Um
from studies.benchmarks.slides.memory import write_texture

SIDE_PX, BLOCK_PX = 8064, 2016
HEAD = (
    "| slide | threads | tiles | direct, tiles/s | OpenSlide, tiles/s | ratio (least–most) "
    "| direct: read, ms a tile | resample, ms a tile | pixels decoded, of those shown |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)

Corners = list[tuple[Level0Px, Level0Px]]


@dataclass(frozen=True)
class Pass:
    """One pass over the tiles, and its wall time."""

    seconds: float
    spent: tuple[float, float]
    """Reading and resampling, seconds of all threads."""
    decoded: float
    """Pixels decoded, also for the comparison on opening, in units of those that the tiles show; NaN through OpenSlide."""


def open_reader(path: Path, *, direct: bool) -> TileReader:
    """Tiles of 112 µm on 224 px. Raises SlideFault."""
    handle, info = open_slide(path)
    return TileReader(handle, info, plan(info, tile_um=Um(112.0), tile_px=TilePx(224)), direct=direct)


def corners(path: Path, *, tiles: int) -> Corners:
    """The first `tiles` tiles of the grid, row by row."""
    with open_reader(path, direct=False) as reader:
        grid = tile_grid(reader.info, size_px=reader.plan.size_px)
    places = zip(grid.x_px[:tiles].tolist(), grid.y_px[:tiles].tolist(), strict=True)
    return [(Level0Px(x), Level0Px(y)) for x, y in places]


def compare(path: Path, places: Corners) -> bool:
    """Whether the slide is read directly at all. Raises RuntimeError when a pixel differs."""
    with open_reader(path, direct=True) as direct, open_reader(path, direct=False) as reference:
        for place in places:
            if not np.array_equal(direct.tile(*place), reference.tile(*place)):
                raise RuntimeError(f"{path.name} at level-0 pixel {place}: the two readers differ.")
        return direct.direct is not None


def run(path: Path, places: Corners, *, threads: int, direct: bool) -> Pass:
    """Read every tile once."""
    with open_reader(path, direct=direct) as reader, ThreadPoolExecutor(threads) as pool:

        def read(place: tuple[Level0Px, Level0Px]) -> tuple[float, float]:
            start = time.perf_counter()
            region, box = reader.region(*place)
            middle = time.perf_counter()
            resample(region, box, reader.plan.tile_px)
            return middle - start, time.perf_counter() - middle

        start = time.perf_counter()
        reads, resamples = zip(*pool.map(read, places), strict=True)
        seconds = time.perf_counter() - start
        decoded = np.nan
        if reader.direct:
            table, side = reader.direct.table, reader.plan.tile_px * reader.plan.ratio
            pixels = reader.direct.decoded * table.tile_width_px * table.tile_height_px
            decoded = pixels / (len(places) * side**2)
    return Pass(seconds, (sum(reads), sum(resamples)), decoded)


def rows(path: Path, *, tiles: int, repeats: int) -> list[str]:
    """Lines of the table for one slide, medians of the repeats."""
    places = corners(path, tiles=tiles)
    if not compare(path, places):
        return [f"| {path.stem} | | {len(places)} | left to OpenSlide | | | | | |"]
    found: dict[tuple[int, bool], list[Pass]] = {(threads, way): [] for threads in (1, 2) for way in (True, False)}
    for _ in range(repeats):
        for (threads, way), passes in found.items():
            passes.append(run(path, places, threads=threads, direct=way))
    lines = []
    for threads in (1, 2):
        fast, slow = found[threads, True], found[threads, False]
        ratios = [b.seconds / a.seconds for a, b in zip(fast, slow, strict=True)]
        speeds = [len(places) / np.median([one.seconds for one in way]) for way in (fast, slow)]
        read, cut = (1000 * np.median(steps) / len(places) for steps in zip(*[one.spent for one in fast], strict=True))
        lines.append(
            f"| {path.stem} | {threads} | {len(places)} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | {np.median(ratios):.2f} "
            f"({min(ratios):.2f}–{max(ratios):.2f}) | {read:.2f} | {cut:.2f} | {np.median([a.decoded for a in fast]):.2f} |"
        )
    return lines


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.benchmarks.slides.readers", description=__doc__)
    parser.add_argument("slides", type=Path, nargs="*", help="slides to measure as well")
    parser.add_argument("--tiles", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = {"texture_1_to_1": 0.5, "texture_resampled": 0.25}
        for name, mpp in own.items():
            write_texture(Path(folder) / f"{name}.svs", side_px=SIDE_PX, block_px=BLOCK_PX, mpp=mpp)
        print(HEAD)
        for path in [Path(folder) / f"{name}.svs" for name in own] + options.slides:
            print("\n".join(rows(path, tiles=options.tiles, repeats=options.repeats)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
