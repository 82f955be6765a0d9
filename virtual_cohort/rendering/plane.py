"""Tissue without a size: every part of it can be drawn on its own, the same whichever parts were drawn before.

The layout of an ordinary slide (:mod:`virtual_cohort.rendering.layout`) is drawn as a whole, which a whole slide of
80,000 × 60,000
pixels does not allow. Here the same regions and patterns come from noise on an endless lattice whose knots, like the
seeds of bundles and fat cells and like nuclei and vessels, come piece by piece from generators named after the place
("lattice gradient noise", Perlin, SIGGRAPH 1985, with values in place of gradients). Places are in cells of GRID_UM from
the slide's top left; they may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.stats import norm

from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.layout import (
    BANDED,
    BEND,
    BUNDLE_UM,
    CUT_ACROSS,
    FAT,
    GLASS,
    GRID_UM,
    INFLAMMATION,
    MUSCLE,
    MYXOID,
    MYXOID_SHARE,
    NECROSIS,
    SEPTUM,
    TUMOUR,
    WAVES,
    Layout,
)
from virtual_cohort.rendering.nuclei import densities, dressed, local_density

KNOTS = 32  # of the lattice that come from one generator, each way
SLOW = 350.0  # cells over which whole areas of a large slide differ
NEAR_SEPTUM = 60  # cells from which on a septum no longer draws lymphocytes
PIECE = 64  # cells of a piece, each way, whose nuclei and vessels come from one generator
JITTER_CELLS = 10  # how far out of its piece a nucleus may be shaken


@dataclass(frozen=True)
class Window:
    """A rectangle of cells: rows from `top`, columns from `left`."""

    top: int
    left: int
    height: int
    width: int

    def around(self, cells: int) -> Window:
        """The rectangle with `cells` more on each side."""
        return Window(self.top - cells, self.left - cells, self.height + 2 * cells, self.width + 2 * cells)

    def of(self, whole: Window) -> tuple[slice, slice]:
        """Rows and columns of this window in an array that holds `whole`."""
        rows, columns = self.top - whole.top, self.left - whole.left
        return slice(rows, rows + self.height), slice(columns, columns + self.width)


@dataclass(frozen=True)
class Plane:
    """The tissue of one slide of `height_um` by `width_um`, with this look."""

    seed: int
    slide_id: str
    look: Look
    width_um: float
    height_um: float

    def noise(self, name: str, window: Window, *, cells: float) -> np.ndarray:
        """Noise (h, w) of mean 0 and deviation 1 at every place, that changes over `cells` cells."""
        (above, down), (before, right) = (
            _weights(np.arange(start, start + size) / cells)
            for start, size in ((window.top, window.height), (window.left, window.width))
        )
        knots = self._knots(name, rows=(above[0, 0], above[-1, -1]), columns=(before[0, 0], before[-1, -1]))
        above, before = above - above[0, 0], before - before[0, 0]
        lines = sum(knots[:, before[:, k]] * right[:, k] for k in range(4))  # (knots, w)
        lines = np.asarray(lines, np.float32)
        field = np.zeros((window.height, window.width), np.float32)
        for k in range(4):
            field += lines[above[:, k]] * down[:, k, None].astype(np.float32)
        return field

    def _knots(self, name: str, *, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Values at the knots of these rows and columns, both ends included."""
        first, last = ((rows[k] // KNOTS, columns[k] // KNOTS) for k in range(2))
        blocks = [
            [self._generator(name, y, x).standard_normal((KNOTS, KNOTS)) for x in range(first[1], last[1] + 1)]
            for y in range(first[0], last[0] + 1)
        ]
        top, left = rows[0] - first[0] * KNOTS, columns[0] - first[1] * KNOTS
        return np.block(blocks)[top : top + rows[1] - rows[0] + 1, left : left + columns[1] - columns[0] + 1]

    def _generator(self, *names: str | int) -> np.random.Generator:
        return rng(self.seed, "giant slide", self.slide_id, *names)

    @cached_property
    def _shares(self) -> dict[str, float]:
        """What is settled once: how much of the slide is septum, inflamed, fat and muscle, and where the latter lie."""
        generator = self._generator("shares")
        names = ("septum", "inflamed", "fat", "muscle", "side", "muscle_angle")
        ends = ((0.03, 0.09), (-0.006, 0.014), (-0.10, 0.10), (-0.12, 0.08), (0, 2 * np.pi), (0, np.pi))
        return {name: float(generator.uniform(*end)) for name, end in zip(names, ends, strict=True)}

    @cached_property
    def _levels(self) -> dict[str, float]:
        """Levels of the noises that give these shares, from a sample of what their distributions are."""
        generator, n = self._generator("levels"), 200_000
        band = np.abs(generator.standard_normal(n)) + 0.15 * generator.standard_normal(n)
        x, y = generator.uniform(-0.93, 0.93, (2, n))
        side = self._shares["side"]
        towards = x * np.cos(side) + y * np.sin(side) + 0.25 * generator.standard_normal(n)
        fat, muscle = (max(0.0, self._shares[name]) for name in ("fat", "muscle"))
        return {
            "septum": float(np.quantile(band, self._shares["septum"])),
            "fat": float(np.quantile(towards, 1 - fat)) if fat else np.inf,
            "muscle": float(np.quantile(towards, muscle)) if muscle else -np.inf,
            "inflamed": float(norm.ppf(1 - self._shares["inflamed"])) - 0.35
            if self._shares["inflamed"] > 0
            else np.inf,
        }

    @property
    def muscle_angle(self) -> float:
        """Direction of muscle fibres, radians."""
        return self._shares["muscle_angle"]

    def layout(self, window: Window) -> Layout:
        """Regions and patterns of a window."""
        wide = window.around(NEAR_SEPTUM)
        tissue = self._tissue(window)
        region = self._regions(wide)[window.of(wide)]
        region = np.where(tissue <= 0, GLASS, region).astype(np.uint8)
        z = (self.noise("vigour", window, cells=55) + 0.7 * self.noise("vigour, slow", window, cells=SLOW)) / np.hypot(
            1, 0.7
        )
        vigour = 1 / (1 + np.exp(-1.6 * z - 0.8))
        angle, lengthwise = self._bundles(window)
        firm = (region == MUSCLE) | (region == FAT)
        angle, lengthwise = np.where(firm, self.muscle_angle, angle), np.where(firm, 1.0, lengthwise)
        crowding = 1 + BANDED[self.look.histotype] * np.sin(3.52 * self.noise("crowding", window, cells=22))
        maps = (vigour, tissue, angle, lengthwise, crowding)
        return Layout(region, *(field.astype(np.float32) for field in maps))

    def _places(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Down and across the slide from -1 to 1, (h, 1) and (1, w)."""
        y, x = np.arange(window.top, window.top + window.height), np.arange(window.left, window.left + window.width)
        return (2 * (y + 0.5) * GRID_UM / self.height_um - 1)[:, None], (2 * (x + 0.5) * GRID_UM / self.width_um - 1)[
            None
        ]

    def _tissue(self, window: Window) -> np.ndarray:
        """Positive inside the tissue, rising from its edge as on a small slide: one in 125 cells."""
        down, across = self._places(window)
        half = min(self.width_um, self.height_um) / GRID_UM / 2
        far = 0.94 - (np.abs(across) ** 5 + np.abs(down) ** 5) ** 0.2
        ragged = 7.0 * self.noise("edge", window, cells=45) + 1.5 * self.noise("edge, fine", window, cells=9)
        broad = min(0.03 * half, 60.0) * self.noise("edge, broad", window, cells=max(45.0, 0.3 * half))
        return (far * half + ragged + broad) / 125

    def _regions(self, window: Window) -> np.ndarray:
        noise, levels = self.noise, self._levels
        region = np.full((window.height, window.width), TUMOUR, np.uint8)
        myxoid = (noise("myxoid", window, cells=40) + 0.5 * noise("myxoid, slow", window, cells=SLOW)) / np.hypot(
            1, 0.5
        )
        region[myxoid <= norm.ppf(MYXOID_SHARE[self.look.histotype])] = MYXOID
        dead = noise("dead", window, cells=50) + 0.25 * noise("dead, fine", window, cells=8)
        dead = (dead + noise("dead, slow", window, cells=SLOW)) / np.sqrt(1 + 0.25**2 + 1)
        region[dead <= norm.ppf(self.look.necrosis_fraction)] = NECROSIS
        band = np.abs(noise("septum", window, cells=70)) + 0.15 * noise("septum, fine", window, cells=12)
        septum = band <= levels["septum"]
        region[septum] = SEPTUM
        near = distance_transform_edt(~septum) if septum.any() else np.full(septum.shape, float(NEAR_SEPTUM))
        inflamed = noise("inflamed", window, cells=11) - 0.03 * np.minimum(near, NEAR_SEPTUM)
        region[inflamed >= levels["inflamed"]] = INFLAMMATION
        down, across = self._places(window)
        side = self._shares["side"]
        towards = across * np.cos(side) + down * np.sin(side) + 0.25 * noise("side", window, cells=35)
        region[towards >= levels["fat"]] = FAT
        region[towards <= levels["muscle"]] = MUSCLE
        return region

    def _bundles(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Direction of the fibres in radians, and whether they run in the plane, (h, w); see `layout._bundles`."""
        histotype = self.look.histotype
        size_um = BUNDLE_UM[histotype]
        seeds = self._seeds("bundles", window.around(round(3 * size_um / GRID_UM)), apart_um=size_um, numbers=7)
        centre = seeds[:, :2]
        y, x = np.arange(window.top, window.top + window.height), np.arange(window.left, window.left + window.width)
        x, y = np.meshgrid(x * GRID_UM, y * GRID_UM)
        warp = [0.13 * size_um * self.noise(f"bundles, {way}", window, cells=12) for way in ("x", "y")]
        cell = cKDTree(centre).query(np.stack([x + warp[0], y + warp[1]], axis=-1))[1]
        turn, sign, bent, phase, cut = seeds[:, 2:].T
        along = (x - centre[cell, 0]) * np.cos(np.pi * turn)[cell] + (y - centre[cell, 1]) * np.sin(np.pi * turn)[cell]
        bend = BEND[histotype] * np.where(sign < 0.5, -1, 1) * (0.5 + 0.8 * bent)
        angle = np.pi * turn[cell] + np.arctan(2 * bend[cell] * along / size_um)
        angle += WAVES[histotype] * np.sin(2 * np.pi * along / 85 + 2 * np.pi * phase[cell])
        angle += 0.12 * self.noise("fibres", window, cells=6)
        return angle, (cut >= CUT_ACROSS[histotype]).astype(float)[cell]

    def _seeds(self, name: str, window: Window, *, apart_um: float, numbers: int) -> np.ndarray:
        """One seed in each square of a grid: (n, numbers), x and y in µm and then numbers in 0..1."""
        block = 8 * apart_um
        first, last = (
            tuple(int(np.floor(at * GRID_UM / block)) for at in corner)
            for corner in (
                (window.top, window.left),
                (window.top + window.height, window.left + window.width),
            )
        )
        parts = []
        for row in range(first[0], last[0] + 1):
            for column in range(first[1], last[1] + 1):
                dice = self._generator(name, row, column).random((64, numbers))
                square = np.column_stack([np.tile(np.arange(8), 8), np.repeat(np.arange(8), 8)])
                dice[:, :2] = (dice[:, :2] + square + (8 * column, 8 * row)) * apart_um
                parts.append(dice)
        return np.concatenate(parts)

    def fat_seeds(self, window: Window, *, apart_um: float) -> np.ndarray:
        """Middles of fat cells, (n, 2) in µm, each in the middle half of its square, every second row shifted."""
        seeds = self._seeds("fat", window, apart_um=apart_um, numbers=2)
        square = np.floor(seeds / apart_um)
        inner = square + 0.5 + 0.62 * (seeds / apart_um - square - 0.5)
        inner[:, 0] += 0.5 * (square[:, 1] % 2)
        return inner * apart_um

    def nuclei(self, piece: tuple[int, int], *, layout: Layout, window: Window) -> pd.DataFrame:
        """Nuclei of one piece (row, column), placed in µm on the slide.

        Args:
            piece: in steps of PIECE cells.
            layout: of `window`, which holds the piece and JITTER_CELLS around it.
        """
        own = Window(piece[0] * PIECE, piece[1] * PIECE, PIECE, PIECE).around(JITTER_CELLS)
        cut = own.of(window)
        part = Layout(*(getattr(layout, name)[cut] for name in Layout.__dataclass_fields__))
        generator = self._generator("nuclei", *piece)
        corner = (own.left * GRID_UM, own.top * GRID_UM)
        layers = [
            self._positions(generator, piece=piece, layout=part, density=density, corner=corner)
            for density in densities(self.look)
        ]
        x, y = (np.concatenate(parts) for parts in zip(*layers, strict=True))
        gy, gx = (((at - start) / GRID_UM).astype(int) for at, start in ((y, corner[1]), (x, corner[0])))
        return dressed(generator, layout=part, look=self.look, x=x, y=y, gy=gy, gx=gx)

    def _positions(
        self,
        generator: np.random.Generator,
        *,
        piece: tuple[int, int],
        layout: Layout,
        density: np.ndarray,
        corner: tuple[float, float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Jittered points of the endless hexagonal grid that lie in a piece, thinned to the density; see `nuclei`."""
        alive = 1.1 * (1 + BANDED[self.look.histotype])
        most = max(
            float((density * np.where(np.isin(np.arange(len(density)), (TUMOUR, MYXOID)), alive, 1)).max()), 100.0
        )
        step = np.sqrt(2 / np.sqrt(3) / (most * 1e-6))
        top, left, side = piece[0] * PIECE * GRID_UM, piece[1] * PIECE * GRID_UM, PIECE * GRID_UM
        rows = np.arange(np.ceil(top / (step * 0.866)), np.ceil((top + side) / (step * 0.866)))
        columns = np.arange(np.floor(left / step) - 1, np.ceil((left + side) / step) + 1)
        row, column = np.meshgrid(rows, columns, indexing="ij")
        x0 = (column + 0.5 * (row % 2)) * step
        within = (x0 >= left) & (x0 < left + side)
        shaken = np.clip(0.27 * step * generator.standard_normal((2, *x0.shape)), -30, 30)
        keep = generator.random(x0.shape)[within]
        x, y = (x0 + shaken[0])[within], (row * step * 0.866 + shaken[1])[within]
        gy, gx = ((y - corner[1]) / GRID_UM).astype(int), ((x - corner[0]) / GRID_UM).astype(int)
        local = local_density(layout, density=density)[gy, gx]
        chosen = (keep < local / most) & (layout.tissue[gy, gx] > 0.01) & (layout.region[gy, gx] != GLASS)
        return x[chosen], y[chosen]


def _weights(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots (n, 4) and weights (n, 4) of cubic interpolation (Keys 1981, a = -1/2), of unit norm."""
    below = np.floor(at).astype(int)
    t = at - below
    weights = np.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ],
        axis=-1,
    )
    return below[:, None] + np.arange(-1, 3), weights / np.sqrt((weights**2).sum(axis=-1, keepdims=True))
