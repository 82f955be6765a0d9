"""How long does a virtual slide take? `python -m sarcnet.virtual.bench` prints a table.

Seconds of processor time on one core for a slide of the default size, and, because cores differ and are shared, their
ratio to a yardstick taken in the same run: a fixed number of Gaussian blurs of a picture of the same size.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyvips
from scipy.ndimage import gaussian_filter

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.seeds import rng
from sarcnet.virtual.centres import CENTRES
from sarcnet.virtual.nuclei import Look
from sarcnet.virtual.pyramid import write_svs
from sarcnet.virtual.render import render_slide

WIDTH_UM, HEIGHT_UM = 1000.0, 900.0
LOOK = Look(0, 2800.0, 80.0, 0.45, 1.0, 17.0, 0.1)


def measure(*, repeats: int = 5) -> pd.DataFrame:
    """Median seconds of a core for painting and for encoding; columns step, seconds, ratio to the yardstick."""
    pyvips.cache_set_max(0)
    scanner = CENTRES["CLB"].scanner
    size = (round(HEIGHT_UM / scanner.mpp), round(WIDTH_UM / scanner.mpp))
    noise = rng(0, "bench").standard_normal(size).astype(np.float32)

    def paint(number: int) -> np.ndarray:
        look = Look(number % len(HISTOTYPES), *list(vars(LOOK).values())[1:])
        return render_slide(
            0, slide_id=f"b{number}", look=look, scanner=scanner, width_um=WIDTH_UM, height_um=HEIGHT_UM
        ).picture

    picture = paint(0)  # textures are made once a process
    with tempfile.TemporaryDirectory() as folder:
        steps: dict[str, Callable[[int], object]] = {
            "yardstick: Gaussian blur, 5 px": lambda _: gaussian_filter(noise, 5),
            "paint": paint,
            "encode as SVS": lambda _: write_svs(
                Path(folder) / "b.svs", picture=picture, mpp=scanner.mpp, quality=82, scanner_name="BENCH"
            ),
        }
        seconds = {name: float(np.median([_cpu(step, k) for k in range(repeats)])) for name, step in steps.items()}
    seconds["slide: paint + encode"] = seconds["paint"] + seconds["encode as SVS"]
    table = pd.DataFrame({"step": list(seconds), "seconds": list(seconds.values())})
    return table.assign(ratio=table["seconds"] / seconds["yardstick: Gaussian blur, 5 px"]).round(3)


def _cpu(step: Callable[[int], object], number: int) -> float:
    start = time.process_time()
    step(number)
    return time.process_time() - start


if __name__ == "__main__":
    print(measure().to_string(index=False))
