"""A whole slide of up to 80,000 × 60,000 pixels and more, written in memory that does not grow with it.

Run ``python -m sarcnet.virtual.giant --width-px 80000 --height-px 60000 out.svs``. The slide is painted block by block with
the code that paints ordinary slides; tissue comes from :mod:`sarcnet.virtual.plane`, which can be drawn anywhere, so that
blocks fit each other to the pixel and the size of the blocks changes no byte of the file. Encoded tiles wait on disk until
their row of blocks is whole. Levels of the pyramid follow in steps of 4, as in Aperio's files.

Ordinary slides (:func:`sarcnet.virtual.render.render_slide`) are drawn as a whole and look alike, but are not pieces of a
giant one. A giant slide has no artefacts.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import cv2
import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from scipy.ndimage import gaussian_filter

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.faults import Faults
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.progress import track
from sarcnet.compendium.seeds import rng
from sarcnet.virtual.adipose import FAT_CELL_UM, against_walls, draw_web, walls
from sarcnet.virtual.centres import CENTRES, Scanner
from sarcnet.virtual.layout import FAT, GRID_UM, Layout
from sarcnet.virtual.light import Ground, Strokes, light_through
from sarcnet.virtual.nuclei import Look
from sarcnet.virtual.plane import JITTER_CELLS, PIECE, Plane, Window
from sarcnet.virtual.pyramid import TILE_PX, aperio_text
from sarcnet.virtual.render import SPINDLE, Slide
from sarcnet.virtual.stain import STAMP, add_noise, seen_by
from sarcnet.virtual.strokes import Bodies, Shapes, cell_bodies, draw_bodies, draw_nuclei, nuclear_shapes
from sarcnet.virtual.textures import SIDE
from sarcnet.virtual.vessels import Vessel, endothelium, paint_vessels, plan_vessels

BLOCK_PX = 2048
HALO = 20  # cells around a block that are painted too: no nucleus, cell body or fat cell reaches farther
STEP = 4  # from level to level
SMALLEST_PX = 512  # a level whose longer side is smaller is the last
PIXEL_MAX = 200_000
MPP = (0.25, 0.5)  # whole numbers of pixels in a cell of the layout
BYTES_PER_PX = 0.65  # of the file (0.37 measured) and of what waits on disk beside it (0.2), with some to spare
TRUTH = pa.schema(
    [(name, pa.float64()) for name in ("x_um", "y_um", "area_um2")]
    + [(name, pa.string()) for name in ("class", "region")]
)
LOOK = Look(0, 2800.0, 80.0, 0.60, 1.0, 17.0, 0.12)
SCANNER = replace(CENTRES["IB"].scanner, mpp=0.5)


@dataclass(frozen=True)
class GiantSlide:
    """One slide to write: its size in pixels, what it shows, and how it is scanned (`scanner.mpp` is one of MPP).

    Raises:
        SarcnetError: at the first use of an impossible size; all that is wrong is said together.
    """

    width_px: int
    height_px: int
    seed: int = 0
    slide_id: str = "giant"
    look: Look = LOOK
    scanner: Scanner = SCANNER

    def check(self) -> None:
        """Refuse what cannot be painted."""
        faults = Faults()
        for name in ("width_px", "height_px"):
            size = getattr(self, name)
            if not TILE_PX <= size <= PIXEL_MAX:
                faults.add(f"{name} is {size}; it must lie between {TILE_PX} and {PIXEL_MAX:,} px.")
        if self.scanner.mpp not in MPP:
            faults.add(f"mpp is {self.scanner.mpp:g}; a giant slide is scanned at {' or '.join(map(str, MPP))} µm/px.")
        if self.look.histotype not in range(len(HISTOTYPES)):
            faults.add(
                f"histotype is {self.look.histotype}; it must be the place of a histotype, 0 to {len(HISTOTYPES) - 1}."
            )
        for name, value in asdict(self.look).items():
            low, high = (0.0, 0.95) if name == "necrosis_fraction" else (0.0, 1e5)
            if not low <= value <= high:
                faults.add(f"{name} is {value:g}; it must lie between {low:g} and {high:g}.")
        faults.raise_if_any("This giant slide cannot be painted:")

    @cached_property
    def plane(self) -> Plane:
        """Its tissue."""
        mpp = self.scanner.mpp
        return Plane(self.seed, self.slide_id, self.look, self.width_px * mpp, self.height_px * mpp)

    @property
    def per_cell(self) -> int:
        """Pixels in a cell of the layout."""
        return round(GRID_UM / self.scanner.mpp)

    @cached_property
    def _ground(self) -> tuple[np.ndarray, tuple[int, int], tuple[tuple[int, int], tuple[int, int]]]:
        generator = rng(self.seed, "giant slide", self.slide_id, "ground")
        batch = np.exp(np.array([0.07, 0.09, 0.12]) * generator.standard_normal(3))
        origin, down, across = ((int(a), int(b)) for a, b in generator.integers(SIDE, size=(3, 2)))
        return batch, origin, (down, across)

    def block(self, *, top: int, left: int, side: int) -> Slide:
        """The square block at `top`, `left`, cut at the slide's border: pixels, layout, and the nuclei whose middles lie in
        it, in µm on the whole slide.

        Args:
            top: a multiple of STAMP. left: likewise. side: likewise, or larger than the slide.
        """
        height, width = min(side, self.height_px - top), min(side, self.width_px - left)
        per_cell = self.per_cell
        core = Window(top // per_cell, left // per_cell, -(-height // per_cell), -(-width // per_cell))
        halo = HALO * per_cell
        light, nuclei, layout = self._light(core)
        picture = seen_by(light, scanner=self.scanner)[halo : halo + height, halo : halo + width].copy()
        for row in range(0, height, STAMP):
            for column in range(0, width, STAMP):
                name = ((top + row) // STAMP, (left + column) // STAMP)
                origin = rng(self.seed, "giant slide", self.slide_id, "sensor", *name).integers(STAMP, size=2)
                part = picture[row : row + STAMP, column : column + STAMP]
                add_noise(part, scale=self.scanner.noise, origin=(int(origin[0]), int(origin[1])))
        place = (nuclei[["x_um", "y_um"]].to_numpy() / self.scanner.mpp - (left, top)) / (width, height)
        own = ((place >= 0) & (place < 1)).all(axis=1)
        return Slide(picture, nuclei[own].reset_index(drop=True), layout)

    def _light(self, core: Window) -> tuple[np.ndarray, pd.DataFrame, Layout]:
        """The light through `core` and HALO cells around it, the nuclei seen there, and the layout of `core`."""
        window, scanner = core.around(HALO), self.scanner
        first, last = (
            ((at // PIECE - 1) * PIECE for at in (core.top, core.left)),
            (
                -(-(at + size) // PIECE) * PIECE + PIECE
                for at, size in ((core.top, core.height), (core.left, core.width))
            ),
        )
        (top, left), (bottom, right) = first, last
        ring = Window(top, left, bottom - top, right - left)
        wide = ring.around(JITTER_CELLS)
        layout = self.plane.layout(wide)
        shown = _cut(layout, window=window, whole=wide)
        shape = (window.height * self.per_cell, window.width * self.per_cell)
        batch, origin, frays = self._ground
        thickness = 1 + 0.06 * self.plane.noise("thickness", window, cells=60)
        strokes, nuclei = self._strokes(layout, wide=wide, ring=ring, shown=shown, window=window, shape=shape)
        light = light_through(
            shown,
            strokes=strokes,
            scanner=scanner,
            strength=1.0,
            ground=Ground(batch, thickness, origin, frays, self.plane.muscle_angle),
            origin_px=(window.left * self.per_cell, window.top * self.per_cell),
        )
        return light, nuclei, _cut(layout, window=core, whole=wide)

    def _strokes(
        self, layout: Layout, *, wide: Window, ring: Window, shown: Layout, window: Window, shape: tuple[int, int]
    ) -> tuple[Strokes, pd.DataFrame]:
        """Outlines of all that lies in `ring`, as far as `window` shows them, and the nuclei among it."""
        mpp = self.scanner.mpp
        place = {"shape": shape, "mpp": mpp, "origin_px": (window.left * self.per_cell, window.top * self.per_cell)}
        pieces = [
            (row, column)
            for row in range(ring.top // PIECE, (ring.top + ring.height) // PIECE)
            for column in range(ring.left // PIECE, (ring.left + ring.width) // PIECE)
        ]
        planned = {piece: self._vessels(piece, layout=layout, wide=wide) for piece in pieces}
        vessels = paint_vessels([vessel for own in planned.values() for vessel in own], **place)  # type: ignore[arg-type]
        seeds = self.plane.fat_seeds(wide.around(40), apart_um=FAT_CELL_UM)
        ends = _in_order(walls(seeds, layout=layout, corner_um=(wide.left * GRID_UM, wide.top * GRID_UM)))
        drawn = [self._piece(piece, layout=layout, wide=wide, planned=planned[piece], ends=ends) for piece in pieces]
        nuclei = pd.concat([part[0] for part in drawn], ignore_index=True)
        visible = (nuclei["class"] == "endothelium").to_numpy() | vessels.free(nuclei)
        corners, dice = (
            np.concatenate([getattr(part[1], name) for part in drawn])[visible] for name in ("corners", "dice")
        )
        celled = np.concatenate([part[0]["class"].isin(["tumour", "mitosis"]).to_numpy() for part in drawn])
        outer, inner, tone = (
            np.concatenate([getattr(part[2], name) for part in drawn])[visible[celled]]
            for name in ("outer", "inner", "tone")
        )
        strokes = Strokes(
            nuclei=draw_nuclei(nuclei[visible], shapes=Shapes(corners, dice), **place),  # type: ignore[arg-type]
            bodies=draw_bodies(Bodies(outer, inner, tone), **place),  # type: ignore[arg-type]
            web=_with_border(draw_web(ends, layout=shown, bordered=False, **place), layout=shown),  # type: ignore[arg-type]
            vessels=vessels,
        )
        return strokes, nuclei[visible]

    def _vessels(self, piece: tuple[int, int], *, layout: Layout, wide: Window) -> list[Vessel]:
        """Vessels of a piece, in µm on the slide."""
        own = Window(piece[0] * PIECE, piece[1] * PIECE, PIECE, PIECE)
        generator = rng(self.seed, "giant slide", self.slide_id, "vessels", *piece)
        corner = np.array([own.left, own.top]) * GRID_UM
        shift = np.array([*corner, 0, 0, 0])
        return [
            Vessel(v.wall + corner, v.lumen + corner, v.width, v.red_cells + shift, v.cells + shift[:4])
            for v in plan_vessels(_cut(layout, window=own, whole=wide), generator=generator)
        ]

    def _piece(
        self, piece: tuple[int, int], *, layout: Layout, wide: Window, planned: list[Vessel], ends: np.ndarray
    ) -> tuple[pd.DataFrame, Shapes, Bodies]:
        """Nuclei of a piece with the endothelium of its vessels, their outlines and their cells' bodies."""
        placed = against_walls(self.plane.nuclei(piece, layout=layout, window=wide), ends=ends)
        nuclei = pd.concat([placed, endothelium(planned)], ignore_index=True)
        for_shapes, for_bodies = rng(self.seed, "giant slide", self.slide_id, "shapes", *piece).spawn(2)
        bodies = cell_bodies(
            nuclei,
            spacing_um=1000 / np.sqrt(0.85 * self.look.cellularity_per_mm2),
            spindle=SPINDLE[self.look.histotype],
            generator=for_bodies,
        )
        return nuclei, nuclear_shapes(nuclei, generator=for_shapes), bodies


def _in_order(ends: np.ndarray) -> np.ndarray:
    """The same walls (k, 2, 2), rounded to a nanometre, the upper end first, from top to bottom: which seeds were at hand
    when they were made leaves no trace."""
    ends = np.round(ends, 3)
    upper = (ends[:, 0, 1] < ends[:, 1, 1]) | ((ends[:, 0, 1] == ends[:, 1, 1]) & (ends[:, 0, 0] <= ends[:, 1, 0]))
    ends = np.where(upper[:, None, None], ends, ends[:, ::-1])
    return np.asarray(ends[np.lexsort(ends.reshape(-1, 4).T)])


def _with_border(web: np.ndarray | None, *, layout: Layout) -> np.ndarray | None:
    """Walls of fat cells (h, w) with the fat's own border, drawn from near by so that it looks the same from everywhere."""
    if web is None:
        return None
    share = gaussian_filter((layout.region == FAT).astype(np.float32), 0.9)
    fine = cv2.resize(share, web.shape[::-1], interpolation=cv2.INTER_LINEAR)
    line = np.clip(1.6 - np.abs(fine - 0.5) * 14, 0, 1) * 235
    return np.maximum(web, line.astype(np.uint8))


def _cut(layout: Layout, *, window: Window, whole: Window) -> Layout:
    return Layout(*(getattr(layout, name)[window.of(whole)] for name in Layout.__dataclass_fields__))


@dataclass
class _Level:
    """One level of the pyramid while it is painted: its size, and a file with its pixels or its encoded tiles."""

    width: int
    height: int
    spool: BinaryIO


def write_giant(
    path: Path, *, slide: GiantSlide, truth: Path | None = None, block_px: int = BLOCK_PX, shown: bool = False
) -> None:
    """Write `slide` to `path` as an Aperio-style SVS, whole or not at all; the same bytes whatever `block_px`.

    Args:
        path: of the file.
        slide: what to write.
        truth: Parquet file for every nucleus, as of ordinary slides: x_um, y_um, area_um2, class, region; a group of rows a
            block.
        block_px: side of what is painted at once, a multiple of STAMP; memory grows with it and with nothing else
            but, by a few hundred bytes a row of blocks, the width.
        shown: whether to show progress.

    Raises:
        SarcnetError: the size is impossible, or the disk has too little room; nothing is written then.
    """
    slide.check()
    _room_for(path, slide=slide)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.")))
        part = stack.enter_context(atomic_path(path))
        beside = stack.enter_context(atomic_path(truth)) if truth else None
        levels = [
            _Level(*size, stack.enter_context((folder / f"level{k}").open("w+b")))
            for k, size in enumerate(level_sizes(slide.width_px, slide.height_px))
        ]
        nuclei = stack.enter_context(pq.ParquetWriter(beside, TRUTH)) if beside else None
        tiff = stack.enter_context(tifffile.TiffWriter(part, bigtiff=True))
        for number, level in enumerate(levels):
            tiles = _reread(level, slide)
            if number == 0:
                tiles = _painted(slide, levels=levels, nuclei=nuclei, block_px=block_px, shown=shown)
            _write_level(tiff, level=level, tiles=tiles, slide=slide, first=not number)


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Width and height of each level."""
    sizes = [(width, height)]
    while max(sizes[-1]) > SMALLEST_PX and min(sizes[-1]) >= STEP * 8:
        sizes.append((sizes[-1][0] // STEP, sizes[-1][1] // STEP))
    return sizes


def _room_for(path: Path, *, slide: GiantSlide) -> None:
    """Refuse a slide that the disk has no room for."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free, wanted = shutil.disk_usage(folder).free, int(BYTES_PER_PX * slide.width_px * slide.height_px)
    if free < wanted:
        faults = Faults()
        faults.add(
            f"{path.name} of {slide.width_px} × {slide.height_px} px needs up to {wanted / 1e9:.2f} GB, and {folder} has "
            f"{free / 1e9:.2f} GB free. Make room, name another folder, or ask for a smaller slide."
        )
        faults.raise_if_any("There is no room for this slide:")


def _write_level(
    tiff: tifffile.TiffWriter, *, level: _Level, tiles: Iterator[bytes], slide: GiantSlide, first: bool
) -> None:
    text = aperio_text(
        width=slide.width_px,
        height=slide.height_px,
        mpp=slide.scanner.mpp,
        quality=slide.scanner.jpeg_quality,
        scanner_name="SIMULATED",
    )
    tiff.write(
        tiles,
        shape=(level.height, level.width, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        description=text if first else f"{text}\r\n{level.width}x{level.height}",
        resolution=(10_000 / slide.scanner.mpp, 10_000 / slide.scanner.mpp) if first else None,
        resolutionunit="CENTIMETER" if first else None,
        subfiletype=0 if first else 1,
        software=False,
        metadata=None,
        maxworkers=1,
    )


def _encoded(tile: np.ndarray, *, quality: int) -> bytes:
    """A tile (h, w, 3), at most TILE_PX each way, as JPEG; what is missing repeats the border."""
    missing = ((0, TILE_PX - tile.shape[0]), (0, TILE_PX - tile.shape[1]), (0, 0))
    full = np.pad(tile, missing, mode="edge") if any(after for _, after in missing) else np.ascontiguousarray(tile)
    return bytes(
        imagecodecs.jpeg8_encode(full, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling=(2, 2))
    )


def _painted(
    slide: GiantSlide, *, levels: list[_Level], nuclei: pq.ParquetWriter | None, block_px: int, shown: bool
) -> Iterator[bytes]:
    """Encoded tiles of the finest level, row by row; writes the pixels of the others, and the nuclei, beside."""
    wide, deep = -(-slide.width_px // block_px), -(-slide.height_px // block_px)
    work: Iterator[int] = (
        iter(track(range(wide * deep), total=wide * deep, what="blocks")) if shown else iter(range(wide * deep))
    )
    for row in range(deep):
        index: dict[tuple[int, int], tuple[int, int]] = {}
        spool = levels[0].spool
        spool.seek(0)
        for column in range(wide):
            next(work)
            top, left = row * block_px, column * block_px
            block = slide.block(top=top, left=left, side=block_px)
            picture = block.picture
            if nuclei is not None:
                nuclei.write_table(pa.Table.from_pandas(block.truth(), schema=TRUTH, preserve_index=False))
            _spool_smaller(picture, top=top, left=left, levels=levels)
            for y in range(0, picture.shape[0], TILE_PX):
                for x in range(0, picture.shape[1], TILE_PX):
                    tile = _encoded(picture[y : y + TILE_PX, x : x + TILE_PX], quality=slide.scanner.jpeg_quality)
                    index[y, left + x] = (spool.tell(), len(tile))
                    spool.write(tile)
        for _, (start, size) in sorted(index.items()):
            spool.seek(start)
            yield spool.read(size)
    for _ in work:
        pass


def _spool_smaller(picture: np.ndarray, *, top: int, left: int, levels: list[_Level]) -> None:
    """Write a block's part of each coarser level to its file of pixels."""
    factor = 1
    for level in levels[1:]:
        factor *= STEP
        height = min(picture.shape[0] // factor, level.height - top // factor)
        width = min(picture.shape[1] // factor, level.width - left // factor)
        if height <= 0 or width <= 0:
            continue
        small = cv2.resize(picture[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
        for line in range(height):
            level.spool.seek(((top // factor + line) * level.width + left // factor) * 3)
            level.spool.write(small[line].tobytes())


def _reread(level: _Level, slide: GiantSlide) -> Iterator[bytes]:
    """Encoded tiles of a coarser level, from its file of pixels, a row of tiles at a time."""
    for top in range(0, level.height, TILE_PX):
        rows = min(TILE_PX, level.height - top)
        level.spool.seek(top * level.width * 3)
        raw = level.spool.read(rows * level.width * 3)
        strip = np.frombuffer(raw.ljust(rows * level.width * 3, b"\xff"), np.uint8).reshape(rows, level.width, 3)
        for left in range(0, level.width, TILE_PX):
            yield _encoded(strip[:, left : left + TILE_PX], quality=slide.scanner.jpeg_quality)


def main() -> int:
    """Write one slide; prints its rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="file to write")
    parser.add_argument("--truth", type=Path, help="Parquet file for every nucleus")
    parser.add_argument("--width-px", type=int, default=80_000)
    parser.add_argument("--height-px", type=int, default=60_000)
    parser.add_argument("--mpp", type=float, default=0.5, choices=MPP, help="µm/px")
    parser.add_argument("--histotype", choices=HISTOTYPES, default=HISTOTYPES[0])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    slide = GiantSlide(
        given.width_px,
        given.height_px,
        seed=given.seed,
        look=replace(LOOK, histotype=HISTOTYPES.index(given.histotype)),
        scanner=replace(SCANNER, mpp=given.mpp),
    )
    start = time.perf_counter()
    write_giant(given.path, slide=slide, truth=given.truth, shown=True)
    seconds, megapixels = time.perf_counter() - start, given.width_px * given.height_px / 1e6
    size = given.path.stat().st_size
    print(
        f"{given.path.name}: {megapixels:,.0f} million pixels in {seconds:.0f} s ({megapixels / seconds:.1f} million a "
        f"second), {size / 1e6:,.0f} MB ({size / megapixels / 1e6:.2f} bytes a pixel)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
