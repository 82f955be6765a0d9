"""How long does a virtual slide take? `python -m studies.benchmarks.rendering` prints three tables.

1. Seconds of processor time on one core for a slide of the default size, and, because cores differ and are shared, their
   ratio to a yardstick taken in the same run: a fixed number of Gaussian blurs of a picture of the same size.
2. Slides a second of one process and of two at once, each writing slides as a cohort has them.
3. With ``--giant``, peak memory of a process that writes a giant slide, by its size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pandas as pd
import pyvips
from scipy.ndimage import gaussian_filter

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.seeds import rng
from studies.benchmarks.peak_memory import peak_mb
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.pyramid import write_svs
from virtual_cohort.rendering.render import render_slide

WIDTH_UM, HEIGHT_UM = 1000.0, 900.0
BUDGET_S, BUDGET_SCALING = 0.25, 1.8  # of one core for a slide; two processes against one
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


def scaling(*, slides: int = 20) -> pd.DataFrame:
    """Slides a second of one process, and of two at once; columns processes, slides_per_s, times.

    Each process paints and encodes `slides` slides with one thread, after one to warm up; clocks start when all are warm.
    """
    os.environ["VIPS_CONCURRENCY"] = "1"
    rates = []
    for processes in (1, 2):
        context = multiprocessing.get_context("spawn")
        start, end = context.Barrier(processes + 1), context.Barrier(processes + 1)
        workers = [context.Process(target=_work, args=(start, end, k, slides)) for k in range(processes)]
        for worker in workers:
            worker.start()
        start.wait()
        began = time.perf_counter()
        end.wait()
        rates.append(processes * slides / (time.perf_counter() - began))
        for worker in workers:
            worker.join()
    return pd.DataFrame({"processes": [1, 2], "slides_per_s": rates, "times": np.array(rates) / rates[0]}).round(2)


def _work(start: Barrier, end: Barrier, worker: int, slides: int) -> None:
    pyvips.cache_set_max(0)
    scanner = CENTRES["CLB"].scanner
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, slides):
            if number == 0:
                start.wait()
            look = Look(number % len(HISTOTYPES), *list(vars(LOOK).values())[1:])
            picture = render_slide(
                0, slide_id=f"w{worker}.{number}", look=look, scanner=scanner, width_um=WIDTH_UM, height_um=HEIGHT_UM
            ).picture
            write_svs(Path(folder) / "b.svs", picture=picture, mpp=scanner.mpp, quality=82, scanner_name="BENCH")
        end.wait()


def giant_memory(sides_px: Sequence[int]) -> pd.DataFrame:
    """Peak memory of a process of its own that writes a square giant slide; columns side_px, peak_mb, million_px_per_s."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for side in sides_px:
        with context.Pool(1) as pool:
            rows.append((side, *pool.apply(_giant, (side,))))
    return pd.DataFrame(rows, columns=["side_px", "peak_mb", "million_px_per_s"]).round(1)


def _giant(side_px: int) -> tuple[float, float]:
    from virtual_cohort.rendering.giant import write_giant
    from virtual_cohort.rendering.giant_slide import GiantSlide

    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_giant(Path(folder) / "g.svs", slide=GiantSlide(side_px, side_px))
    return peak_mb(), side_px**2 / 1e6 / (time.process_time() - began)


def _cpu(step: Callable[[int], object], number: int) -> float:
    start = time.process_time()
    step(number)
    return time.process_time() - start


def main() -> None:
    """Print the tables, with what each number may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--giant", action="store_true", help="giant slides as well (a minute or two)")
    given = parser.parse_args()
    table = measure(repeats=12)
    print(table.to_string(index=False))
    print(f"A slide of {WIDTH_UM:.0f} × {HEIGHT_UM:.0f} µm may cost {BUDGET_S} s of one core.\n")
    print(scaling().to_string(index=False))
    print(f"Two processes should write at least {BUDGET_SCALING} times as many slides as one.")
    if given.giant:
        print("\n" + giant_memory((2048, 4096, 8192, 16384)).to_string(index=False))


if __name__ == "__main__":
    main()
