"""A slide of any size, painted block by block: the tissue of one place does not depend on what was painted before.

Tissue comes from :mod:`virtual_cohort.rendering.plane`, which can be drawn anywhere, and is painted with the code that paints
ordinary slides. Blocks fit each other to the pixel, and the size of the blocks changes no pixel. Ordinary slides
(:func:`virtual_cohort.rendering.render.render_slide`) are drawn as a whole and look alike, but are not pieces of a giant one. A
giant slide has no artefacts. :mod:`virtual_cohort.rendering.giant` writes it to a file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import CENTRES, Scanner
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.adipose import FAT_CELL_UM, against_walls, draw_web, walls
from virtual_cohort.rendering.layout import FAT, GRID_UM, Layout
from virtual_cohort.rendering.light import Ground, Strokes, light_through
from virtual_cohort.rendering.plane import JITTER_CELLS, PIECE, Plane, Window
from virtual_cohort.rendering.pyramid import TILE_PX
from virtual_cohort.rendering.render import SPINDLE, Slide
from virtual_cohort.rendering.stain import STAMP, add_noise, seen_by
from virtual_cohort.rendering.strokes import Bodies, Shapes, cell_bodies, draw_bodies, draw_nuclei, nuclear_shapes
from virtual_cohort.rendering.textures import SIDE
from virtual_cohort.rendering.vessels import Vessel, endothelium, paint_vessels, plan_vessels

HALO = 20  # cells around a block that are painted too: no nucleus, cell body or fat cell reaches farther
PIXEL_MAX = 200_000
MPP = (0.25, 0.5)  # whole numbers of pixels in a cell of the layout
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
        faults = ErrorCollector()
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
