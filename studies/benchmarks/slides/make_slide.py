"""The slides that the benchmark is run on: `python -m studies.benchmarks.slides.make_slide PATH SIDE_PX COPY` writes them.

One block of virtual tissue, 4,096 px a side at 0.25 µm/px, is rendered, laid edge to edge, mirrored every other time so
that no seam shows, and framed by empty glass. A compressed slide costs the same to read whether its tissue repeats or
not; each tile of the file is stored and decoded on its own. Levels follow in steps of 2, as libvips writes them; the
copy has them in steps of 4, as Aperio's scanners write them at 40×.

Runs as a process of its own, so that painting does not count towards anybody's peak memory.
"""

from __future__ import annotations

import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pyvips
import tifffile

from sarcnet.compendium.files import atomic_path
from sarcnet.slides.reader.units import Mpp
from virtual_cohort.rendering.giant_slide import SCANNER, GiantSlide
from virtual_cohort.rendering.pyramid import aperio_text

BLOCK_PX, MPP, QUALITY = 4096, Mpp(0.25), 80
WHOLE_PX, MIDDLE_PX = 40_000, 16_384  # the virtual slide that the block is cut from, and where
GLASS_SHARE = 0.1  # of the slide's side, on each side
GLASS_RGB = (243, 242, 243)


def make_slide(path: Path, *, side_px: int, block_px: int = BLOCK_PX) -> None:
    """Write the square slide of `side_px` to `path`, whole or not at all."""
    giant = GiantSlide(WHOLE_PX, WHOLE_PX, slide_id="bench", scanner=replace(SCANNER, mpp=MPP))
    block = pyvips.Image.new_from_array(giant.block(top=MIDDLE_PX, left=MIDDLE_PX, side=block_px).picture)
    pair = block.join(block.fliphor(), "horizontal")
    four = pair.join(pair.flipver(), "vertical")
    frame = round(GLASS_SHARE * side_px)
    inner = side_px - 2 * frame
    times = -(-inner // four.width)
    tissue = four.replicate(times, times).crop(0, 0, inner, inner)
    image = tissue.embed(frame, frame, side_px, side_px, extend="background", background=list(GLASS_RGB))
    image = image.copy(interpretation="srgb")
    text = aperio_text(width=side_px, height=side_px, mpp=MPP, quality=QUALITY, scanner_name="BENCH")
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    with atomic_path(path) as part:
        image.tiffsave(
            str(part), tile=True, tile_width=256, tile_height=256, pyramid=True, compression="jpeg", Q=QUALITY
        )


def skip_levels(path: Path, *, copy: Path) -> None:
    """Write a copy of a slide that lists only every other level: their bytes stay, each directory names the next but one."""
    with tifffile.TiffFile(path) as tiff:
        form = tiff.tiff
        starts = [page.offset for page in tiff.pages][::2]
    with atomic_path(copy) as part:
        shutil.copyfile(path, part)
        with part.open("r+b") as file:
            for start, following in zip(starts, [*starts[1:], 0], strict=True):
                file.seek(start)
                (entries,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
                file.seek(start + form.tagnosize + entries * form.tagsize)
                file.write(struct.pack(form.offsetformat, following))


if __name__ == "__main__":
    make_slide(Path(sys.argv[1]), side_px=int(sys.argv[2]))
    skip_levels(Path(sys.argv[1]), copy=Path(sys.argv[3]))
