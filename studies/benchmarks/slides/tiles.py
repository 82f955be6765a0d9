"""The tiles that the benchmark reads: `python -m studies.benchmarks.slides.tiles SLIDE COUNT` prints them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.slides.reader.grid import share_inside, tile_grid
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import plan
from sarcnet.slides.reader.thumbnail import read_thumbnail
from sarcnet.slides.reader.units import Mpp, TilePx, Um
from sarcnet.slides.tiling import TileRules
from sarcnet.slides.tissue import find_tissue

RULES = TileRules(
    112.0, 224, 8.0, 0.6, 0.2, 0.5, 0.8, 60.0, 0.2
)  # notebook 01's defaults, see papermill_params/demo.yaml


def kept_corners(path: Path) -> np.ndarray:
    """Tissue and coordinates, the part of notebook 01 that all tools have: (n, 2) level-0 pixels, row by row.

    Open, thumbnail, tissue mask, grid, and the tiles that tissue covers enough. Raises SlideFault.
    """
    handle, info = open_slide(path)
    handle.close()
    size = plan(info, tile_um=Um(RULES.tile_um), tile_px=TilePx(RULES.tile_px)).size_px
    thumbnail = read_thumbnail(info, mpp=Mpp(RULES.thumbnail_um_per_px))
    mask = find_tissue(thumbnail)
    grid = tile_grid(info, size_px=size)
    kept = share_inside(mask.tissue, grid=grid, scale=thumbnail.scale) >= RULES.tissue_share_min
    return np.stack([grid.x_px[kept], grid.y_px[kept]], axis=1)


def task_of(path: Path, *, tiles: int) -> dict[str, object]:
    """What of a worker's task depends on the slide and the encoder: the first `tiles` tiles of tissue."""
    handle, info = open_slide(path)
    handle.close()
    encoder = encoder_named("mobilenetv2_imagenet")
    if encoder.onnx is None:
        raise RuntimeError(f"{encoder.name} has no ONNX graph.")
    return {
        "slide": str(path.resolve()),
        "corners": kept_corners(path)[:tiles].tolist(),
        "mpp": info.mpp,
        "size_px": [info.width_px, info.height_px],
        "levels": list(info.levels),
        "tile_um": RULES.tile_um,
        "tile_px": RULES.tile_px,
        "onnx": str(encoder.onnx()),
    }


if __name__ == "__main__":
    print(json.dumps(task_of(Path(sys.argv[1]), tiles=int(sys.argv[2]))))
