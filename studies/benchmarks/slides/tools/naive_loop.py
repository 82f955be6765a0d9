"""What most tutorials do: read level 0, drop the alpha channel, resize; one tile after the other, then encode."""

from __future__ import annotations

import numpy as np
import openslide
from PIL import Image
from worker_protocol import Task, given_task, load_encoder, report


def main() -> None:
    """Measure the loop; each slide is opened once."""
    task = given_task()
    encode = load_encoder(task, threads=task.jobs)
    size = (task.side_px, task.side_px)

    def tile(slide: openslide.OpenSlide, x: int, y: int) -> np.ndarray:
        region = slide.read_region((x, y), 0, size).convert("RGB")
        return np.asarray(region.resize((task.tile_px, task.tile_px)))

    def read(*, encoded: bool = False) -> int:
        for _ in range(task.copies):
            with openslide.OpenSlide(task.slide) as slide:
                for first in range(0, len(task.corners), task.batch_tiles):
                    batch = np.stack([tile(slide, *c) for c in task.corners[first : first + task.batch_tiles]])
                    if encoded:
                        encode(batch)
        return task.copies * len(task.corners)

    with openslide.OpenSlide(task.slide) as slide:
        report(
            task,
            package="openslide-python",
            tile=lambda x, y: tile(slide, x, y),
            warm_up=lambda: encode(np.zeros((task.batch_tiles, task.tile_px, task.tile_px, 3), np.uint8)),
            measures={
                "tissue": lambda: _tissue(task),
                "read_1": read,
                "end_to_end": lambda: read(encoded=True),
            },
            why_not={"read_2": "a loop"},
        )


def _tissue(task: Task) -> int:
    """Thumbnail, one threshold on its saturation, a grid, and the tiles of which half lies above."""
    with openslide.OpenSlide(task.slide) as slide:
        scale = 32 * task.target_mpp / task.mpp  # level-0 pixels per pixel of the mask
        small = slide.get_thumbnail(tuple(max(1, round(side / scale)) for side in slide.dimensions))
        mask = (np.asarray(small.convert("HSV"))[..., 1] > 20).astype(np.uint8)
        columns, rows = (side // task.side_px for side in slide.dimensions)
        extent = (0, 0, columns * task.side_px / scale, rows * task.side_px / scale)
        share = Image.fromarray(mask * 255).resize((columns, rows), Image.Resampling.BOX, box=_inside(extent, mask))
    return int((np.asarray(share) >= 128).sum())


def _inside(box: tuple[float, float, float, float], mask: np.ndarray) -> tuple[float, float, float, float]:
    height, width = mask.shape
    return box[0], box[1], min(box[2], width), min(box[3], height)


if __name__ == "__main__":
    main()
