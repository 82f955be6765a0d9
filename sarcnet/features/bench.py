"""How fast is extraction, and how near to what the processor can do? `python -m sarcnet.features.bench` prints a
table.

All rows are measured in one run on one machine, so their ratios mean more than their numbers. The ceiling is the
encoder alone on tiles in memory; end to end is what a user waits for: open, read, decode, resize, encode, write.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pyvips

from sarcnet.features.encoders import encoder_named
from sarcnet.features.extraction import Extraction, SlideTiles, extract_cohort
from sarcnet.features.runtime import EncoderRuntime, runtime_for
from sarcnet.slides.grid import tile_grid
from sarcnet.slides.opening import SlideInfo, open_slide
from sarcnet.slides.reading import TileReader, plan
from sarcnet.slides.units import Mpp, TilePx, Um

TILE_UM, TILE_PX = Um(112.0), TilePx(224)


def measure(*, tiles: int = 320, jobs: int = 2, batch_tiles: int = 8, side_px: int = 8192) -> pd.DataFrame:
    """Tiles per second of each step and their ratio to the encoder alone; columns step, tiles_per_second, cpu_ms_a_tile, ratio.

    Args:
        tiles: tiles per measurement.
        jobs: threads.
        batch_tiles: tiles per call of the encoder.
        side_px: side of the slide that is written for it, at 0.25 µm/px.
    """
    encoder = runtime_for(encoder_named("mobilenetv2_imagenet"))
    batch = np.random.default_rng(0).integers(0, 256, (batch_tiles, TILE_PX, TILE_PX, 3), dtype=np.uint8)
    encoder.encode(batch)
    calls = range(tiles // batch_tiles)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        path = _slide(Path(name) / "bench.svs", side_px=side_px)
        handle, info = open_slide(path)
        frame = _tiles(info, tiles)
        corners = list(zip(frame["x_px"], frame["y_px"], strict=True))
        slide = SlideTiles("bench", path, info.mpp, frame)
        settings = Extraction(TILE_UM, TILE_PX, tiles_max=tiles, batch_tiles=batch_tiles)
        extract = extract_cohort(
            [slide],
            encoder=encoder,
            extraction=settings,
            generator=lambda slide_id: np.random.default_rng(0),
            folder=Path(name),
            jobs=jobs,
        )
        with TileReader(handle, info, plan(info, tile_um=TILE_UM, tile_px=TILE_PX)) as reader:
            seconds = {
                "encoder alone": _timed(lambda: list(pool.map(lambda _: encoder.encode(batch), calls))),
                "reading alone": _timed(lambda: list(pool.map(lambda corner: reader.tile(*corner), corners))),
                "reading alone, one thread": _timed(lambda: [reader.tile(*corner) for corner in corners]),
                "reading, naive loop": _timed(lambda: _naive(path, corners)),
                "end to end, naive loop": _timed(lambda: _naive(path, corners, encoder, batch_tiles)),
                "end to end": _timed(lambda: list(extract)),
                "encoder alone, again": _timed(lambda: list(pool.map(lambda _: encoder.encode(batch), calls))),
            }
    counts = {step: len(frame) if "encoder" not in step else len(calls) * batch_tiles for step in seconds}
    table = pd.DataFrame(
        {
            "step": list(seconds),
            "tiles_per_second": [counts[step] / wall for step, (wall, _) in seconds.items()],
            "cpu_ms_a_tile": [1000 * cpu / counts[step] for step, (_, cpu) in seconds.items()],
        }
    )
    ceiling = table.loc[table["step"].str.startswith("encoder"), "tiles_per_second"].mean()
    return table.assign(ratio=table["tiles_per_second"] / ceiling)


def naive_tile(slide: openslide.OpenSlide, x_px: int, y_px: int) -> np.ndarray:
    """What most tutorials do: read level 0, drop the alpha channel, resize."""
    side = round(TILE_UM / float(slide.properties[openslide.PROPERTY_NAME_MPP_X]))
    region = slide.read_region((x_px, y_px), 0, (side, side)).convert("RGB")
    return np.asarray(region.resize((TILE_PX, TILE_PX)))


def _naive(
    path: Path, corners: list[tuple[int, int]], encoder: EncoderRuntime | None = None, batch_tiles: int = 8
) -> None:
    """One tile after the other on one thread, the slide opened once; with an encoder, batches of them encoded."""
    with openslide.OpenSlide(str(path)) as slide:
        for first in range(0, len(corners), batch_tiles):
            tiles = np.stack([naive_tile(slide, *corner) for corner in corners[first : first + batch_tiles]])
            if encoder is not None:
                encoder.encode(tiles)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor over all threads: the latter hardly minds what else is running."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _tiles(info: SlideInfo, count: int) -> pd.DataFrame:
    grid = tile_grid(info, size_px=plan(info, tile_um=TILE_UM, tile_px=TILE_PX).size_px)
    count = min(count, len(grid.x_px))
    return pd.DataFrame({"tile": range(count), "x_px": grid.x_px[:count], "y_px": grid.y_px[:count]})


def _slide(path: Path, *, side_px: int) -> Path:
    """An Aperio-like JPEG slide of stained noise at two scales."""
    rng = np.random.default_rng(0)
    coarse = pyvips.Image.new_from_array(rng.normal(0, 25, (side_px // 32, side_px // 32)).astype(np.float32))
    fine = pyvips.Image.gaussnoise(side_px, side_px, sigma=12, mean=0, seed=1)
    texture = coarse.resize(32).crop(0, 0, side_px, side_px) + fine
    image = texture.bandjoin([texture, texture]).linear([1, 1, 1], [200, 140, 190])
    image = image.cast("uchar").copy(interpretation="srgb").copy_memory()
    text = f"Aperio Image Library v12\n{side_px}x{side_px}|AppMag = 40|MPP = {Mpp(0.25)}"
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    image.tiffsave(str(path), tile=True, tile_width=240, tile_height=240, pyramid=True, compression="jpeg", Q=80)
    return path


def main() -> None:
    """Print the table as Markdown."""
    table = measure()
    print("| extraction (MobileNetV2, 2 threads) | tiles/s | of the encoder alone | processor, ms a tile |")
    print("|---|---|---|---|")
    for row in table.itertuples():
        print(f"| {row.step} | {row.tiles_per_second:.0f} | {row.ratio:.2f} | {row.cpu_ms_a_tile:.1f} |")


if __name__ == "__main__":
    main()
