"""LazySlide by its own functions: find_tissues, tile_tissues, the tile data set of wsidata, feature_extraction."""

from __future__ import annotations

from dataclasses import replace

import lazyslide as zs
import numpy as np
import torch
import wsidata.io
from torch.utils.data import DataLoader
from worker_protocol import Task, given_task, load_encoder, report


def main() -> None:
    """Measure; features without helper processes, which was faster on two cores than with one or two."""
    task = given_task()
    encode = load_encoder(task, threads=task.jobs)

    def model(batch: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(encode(batch.numpy()))

    first = _opened(task).ds.tile_images("bench")
    report(
        task,
        package="lazyslide",
        tile=lambda x, y: first[task.corners.index((x, y))]["image"],
        warm_up=lambda: _extract(replace(task, corners=task.corners[:1]), model),  # imports much at its first call
        measures={
            "tissue": lambda: len(_tiled(task)["tiles"]),
            "read_1": lambda: sum(_read(task, helpers=0) for _ in range(task.copies)),
            "read_2": lambda: sum(_read(task, helpers=task.jobs) for _ in range(task.copies)),
            "end_to_end": lambda: sum(_extract(task, model) for _ in range(task.copies)),
        },
    )


def _tiled(task: Task) -> wsidata.WSIData:
    wsi = wsidata.open_wsi(task.slide, store=None)
    zs.pp.find_tissues(wsi)
    zs.pp.tile_tissues(wsi, task.tile_px, mpp=task.target_mpp)
    return wsi


def _opened(task: Task) -> wsidata.WSIData:
    """The slide with exactly the task's tiles under the name "bench"."""
    wsi = wsidata.open_wsi(task.slide, store=None)
    spec = wsidata.TileSpec.from_wsidata(wsi, tile_px=task.tile_px, mpp=task.target_mpp)
    corners = np.array(task.corners)
    wsidata.io.add_tiles(wsi, "bench", corners, spec, np.zeros(len(corners), int))
    return wsi


def _read(task: Task, *, helpers: int) -> int:
    tiles = _opened(task).ds.tile_images("bench")
    return sum(len(b["image"]) for b in DataLoader(tiles, batch_size=task.batch_tiles, num_workers=helpers))


def _extract(task: Task, model: object) -> int:
    wsi = _opened(task)
    found = zs.tl.feature_extraction(
        wsi,
        model,
        model_name="bench",
        transform=torch.from_numpy,
        tile_key="bench",
        batch_size=task.batch_tiles,
        num_workers=0,
        pbar=False,
        return_features=True,
    )
    return len(found)


if __name__ == "__main__":
    main()
