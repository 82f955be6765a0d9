"""How many tiles a second are measured? For `make bench-interpret`."""

from __future__ import annotations

import time

import numpy as np
from joblib import Parallel, delayed

from sarcnet.compendium.seeds import rng
from sarcnet.morphometry.measure import SlideColours, measure_tile, slide_colours
from sarcnet.morphometry.stains import published_stains

TILE_PX, UM_PER_PX, NUCLEI = 224, 0.5, 40


def tiles_per_second(*, tiles: int = 400, jobs: int = 2) -> float:
    """Tiles of 224 px measured in a second of the clock, without reading them; processes are started before."""
    pictures = [crowded_tile(number) for number in range(20)]
    colours = slide_colours(pictures, mpp=UM_PER_PX)
    parts = [[pictures[k % len(pictures)] for k in range(start, tiles, jobs)] for start in range(jobs)]
    with Parallel(n_jobs=jobs) as pool:
        pool(delayed(_measure)(pictures[:2], colours) for _ in range(jobs))
        start = time.perf_counter()
        counts = pool(delayed(_measure)(part, colours) for part in parts)
        return sum(counts) / (time.perf_counter() - start)


def crowded_tile(number: int) -> np.ndarray:
    """A tile (224, 224, 3) uint8 with NUCLEI dark ellipses on grainy eosin, about as many as in a cellular tumour."""
    generator = rng(0, "morphometry speed", number)
    y, x = np.mgrid[:TILE_PX, :TILE_PX]
    density = np.stack([np.full(x.shape, 0.05), np.full(x.shape, 0.2)], axis=-1)
    for column, row in generator.uniform(0, TILE_PX, (NUCLEI, 2)):
        long, short = generator.uniform(9, 16), generator.uniform(6, 9)
        density[((x - column) / long) ** 2 + ((y - row) / short) ** 2 <= 1, 0] = generator.uniform(0.4, 0.8)
    density = (density + generator.normal(0, 0.03, density.shape)).clip(0)
    return np.round(256 * 10 ** -(density @ published_stains().colours[:2]) - 1).clip(0, 255).astype(np.uint8)


def _measure(pictures: list[np.ndarray], colours: SlideColours) -> int:
    for picture in pictures:
        measure_tile(picture, mpp=UM_PER_PX, colours=colours)
    return len(pictures)
