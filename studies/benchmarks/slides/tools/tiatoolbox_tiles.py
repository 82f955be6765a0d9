"""TIAToolbox by its own classes: tissue_mask, SlidingWindowPatchExtractor, read_rect, DeepFeatureExtractor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.models_abc import ModelABC
from tiatoolbox.tools.patchextraction import SlidingWindowPatchExtractor
from tiatoolbox.wsicore.wsireader import WSIReader
from worker_protocol import Task, given_task, load_encoder, report


class OnnxModel(ModelABC):
    """The benchmark's encoder as TIAToolbox takes models."""

    def __init__(self, encode: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.encode = encode

    def forward(self, tiles: torch.Tensor) -> np.ndarray:
        """(n, tile_px, tile_px, 3) uint8 -> (n, d) float32."""
        return self.encode(tiles.numpy())

    @staticmethod
    def infer_batch(model: torch.nn.Module, batch_data: torch.Tensor, *, device: str) -> list[np.ndarray]:
        """What DeepFeatureExtractor calls for each batch."""
        return [model(batch_data)]


def main() -> None:
    """Measure; without helper processes, which was faster on two cores than with one or two."""
    task = given_task()
    model = OnnxModel(load_encoder(task, threads=task.jobs))
    first = WSIReader.open(task.slide)
    report(
        task,
        package="tiatoolbox",
        tile=lambda x, y: _tile(first, task, x, y),
        warm_up=lambda: model(torch.zeros((task.batch_tiles, task.tile_px, task.tile_px, 3), dtype=torch.uint8)),
        measures={
            "tissue": lambda: _tissue(task),
            "read_1": lambda: sum(_read(task) for _ in range(task.copies)),
            "end_to_end": lambda: sum(_extract(task, model) for _ in range(task.copies)),
        },
        why_not={"read_2": "its readers read one tile at a time"},
    )


def _tile(reader: WSIReader, task: Task, x: int, y: int) -> np.ndarray:
    size = (task.tile_px, task.tile_px)
    return reader.read_rect((x, y), size, resolution=task.target_mpp, units="mpp")


def _read(task: Task) -> int:
    reader = WSIReader.open(task.slide)
    return sum(1 for corner in task.corners if _tile(reader, task, *corner) is not None)


def _tissue(task: Task) -> int:
    reader = WSIReader.open(task.slide)
    return len(
        SlidingWindowPatchExtractor(
            reader,
            patch_size=(task.tile_px, task.tile_px),
            input_mask=reader.tissue_mask(resolution=8, units="mpp"),
            resolution=task.target_mpp,
            units="mpp",
            min_mask_ratio=0.5,
            within_bound=True,
        )
    )


def _extract(task: Task, model: OnnxModel) -> int:
    """Its grid is ours, from the slide's corner; a mask with one pixel a tile picks the task's tiles."""
    width, height = WSIReader.open(task.slide).info.slide_dimensions
    mask = np.zeros((-(-height // task.side_px), -(-width // task.side_px)), np.uint8)
    columns, rows = (np.array(task.corners) / task.side_px).round().astype(int).T
    mask[rows, columns] = 1
    shape = (task.tile_px, task.tile_px)
    config = IOPatchPredictorConfig(
        input_resolutions=[{"units": "mpp", "resolution": task.target_mpp}],
        patch_input_shape=shape,
        stride_shape=shape,
    )
    with tempfile.TemporaryDirectory() as name:
        extractor = DeepFeatureExtractor(model, batch_size=task.batch_tiles, num_workers=0, verbose=False)
        found = extractor.run(
            [Path(task.slide)],
            masks=[mask],
            patch_mode=False,
            ioconfig=config,
            save_dir=Path(name) / "out",
            output_type="zarr",
            overwrite=True,
        )
        import zarr

        return int(zarr.open(os.fspath(next(iter(found.values()))), mode="r")["coordinates"].shape[0])


if __name__ == "__main__":
    main()
