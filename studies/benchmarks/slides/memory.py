"""Is memory flat in the number of tiles? `python -m studies.benchmarks.slides.memory` reads 10,000 and 100,000 tiles of one
slide, each in a process of its own, and prints the peak memory of both.

The slide is one block of texture laid edge to edge, 80,640 px a side at 0.5 µm/px (129,600 tiles of 112 µm), so that no
tile is read twice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyvips

from sarcnet.slides.reader.grid import tile_grid
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um
from studies.benchmarks.peak_memory import peak_mb

SIDE_PX = 80_640
BLOCK_PX = 2016


def write_texture(path: Path, *, side_px: int = SIDE_PX, block_px: int = BLOCK_PX, mpp: float = 0.5) -> None:
    """A JPEG slide in Aperio's dialect, one block of texture repeated edge to edge."""
    noise = np.random.default_rng(0).normal(0, 25, (block_px // 8, block_px // 8)).astype(np.float32)
    texture = pyvips.Image.new_from_array(noise).resize(8).crop(0, 0, block_px, block_px)
    block = texture.bandjoin([texture, texture]).linear([1, 1, 1], [200, 140, 190]).cast("uchar").copy_memory()
    image = block.replicate(side_px // block_px, side_px // block_px).copy(interpretation="srgb")
    text = f"Aperio Image Library v12\n{side_px}x{side_px}|AppMag = {10 / mpp:.0f}|MPP = {mpp}"
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    image.tiffsave(str(path), tile=True, tile_width=240, tile_height=240, compression="jpeg", Q=70, bigtiff=True)


def read_tiles(path: Path, *, tiles: int) -> dict[str, float]:
    """Read the first `tiles` tiles in the order of the grid; tiles, peak_mb (of this process), decoded (JPEG tiles)."""
    handle, info = open_slide(path)
    with TileReader(handle, info, plan(info, tile_um=Um(112.0), tile_px=TilePx(224))) as reader:
        grid = tile_grid(info, size_px=reader.plan.size_px)
        total = 0
        for x, y in zip(grid.x_px[:tiles], grid.y_px[:tiles], strict=True):
            total += reader.tile(x, y).nbytes
        decoded = reader.direct.decoded if reader.direct else 0
    return {"tiles": min(tiles, len(grid.x_px)), "read_gb": total / 1e9, "decoded": decoded, "peak_mb": peak_mb()}


def main() -> int:
    """Print one line for each number of tiles."""
    parser = argparse.ArgumentParser(prog="python -m studies.benchmarks.slides.memory", description=__doc__)
    parser.add_argument("--tiles", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--read", type=Path, help="read --tiles of this slide here, and print JSON")
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_tiles(options.read, tiles=options.tiles[0])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texture.svs"
        write_texture(path)
        print("| tiles | peak memory, MB | JPEG tiles decoded | pixels decoded, of those shown |\n|---|---|---|---|")
        for tiles in options.tiles:
            command = [
                sys.executable,
                "-m",
                "studies.benchmarks.slides.memory",
                "--read",
                str(path),
                "--tiles",
                str(tiles),
            ]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            ratio = found["decoded"] * 240**2 / (found["tiles"] * 224**2)
            print(f"| {found['tiles']:,} | {found['peak_mb']:.0f} | {found['decoded']:,} | {ratio:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
