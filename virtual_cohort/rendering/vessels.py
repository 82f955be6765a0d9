"""Small blood vessels: a wall, endothelial nuclei along it, red cells inside; more of them in septa.

In myxoid tissue long, thin, curved vessels run as well, as myxofibrosarcoma is known for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from virtual_cohort.rendering.layout import FAT, GLASS, GRID_UM, MYXOID, SEPTUM, VESSEL, Layout
from virtual_cohort.rendering.nuclei import CLASSES

PER_MM2 = 14.0
CURVED_PER_MM2 = 13.0  # of myxoid tissue
SEPTUM_FAVOUR = 6.0  # times as many as elsewhere
WALL, LUMEN = 1, 2


@dataclass(frozen=True)
class Vessel:
    """One vessel in µm from the slide's top left: outlines of `wall` and `lumen` (k, 2), or the same middle line for
    both where it runs lengthwise and is `width` µm wide (0: outlines); `red_cells` (n, 5): x, y, short half axis in µm,
    angle in degrees, byte; `cells` (m, 4) of the endothelium: x, y, angle, region."""

    wall: np.ndarray
    lumen: np.ndarray
    width: float
    red_cells: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Vessels:
    """Vessels of a picture: `part` (h, w) uint8 is 0, WALL or LUMEN, `blood` (h, w) uint8 the red cells. `mpp` in µm/px;
    `origin_px`: where on the slide the picture's top left lies, (x, y)."""

    part: np.ndarray
    blood: np.ndarray
    mpp: float
    origin_px: tuple[int, int] = (0, 0)

    def free(self, nuclei: pd.DataFrame) -> np.ndarray:
        """(n,) whether each nucleus lies outside of every vessel."""
        y, x = (
            np.clip((nuclei[name].to_numpy() / self.mpp).astype(int) - start, 0, size - 1)
            for name, start, size in zip(("y_um", "x_um"), self.origin_px[::-1], self.part.shape, strict=True)
        )
        return self.part[y, x] == 0

    def mapped(self, region: np.ndarray) -> np.ndarray:
        """The map of regions (h, w) at GRID_UM, of the same place, with the vessels on it."""
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * GRID_UM / self.mpp).astype(int), size - 1)
            for n, size in zip(region.shape, self.part.shape, strict=True)
        )
        return np.where(self.part[np.ix_(rows, columns)] > 0, VESSEL, region).astype(np.uint8)


def plan_vessels(layout: Layout, *, generator: np.random.Generator) -> list[Vessel]:
    """Vessels of random size and place in the tissue, in the order in which they are painted."""
    planned = _curved(layout, generator=generator)
    spots = np.argwhere((layout.tissue > 0.06) & (layout.region != FAT))
    wanted = int(generator.poisson(PER_MM2 * layout.region.size * GRID_UM**2 * 1e-6)) if len(spots) else 0
    weight = np.where(layout.region[tuple(spots.T)] == SEPTUM, SEPTUM_FAVOUR, 1.0)
    chosen = generator.choice(len(spots), size=wanted, p=weight / weight.sum()) if wanted else np.zeros(0, int)
    for gy, gx in spots[chosen]:
        x, y = (gx + 0.5) * GRID_UM, (gy + 0.5) * GRID_UM
        rx = float(np.clip(np.exp(generator.normal(2.3, 0.45)), 5, 40))
        ry = rx * float(generator.uniform(0.45, 1.0))
        turn0 = float(generator.uniform(0, np.pi))
        thick = 2.2 + 0.15 * rx + (0.25 * rx if generator.random() < 0.2 else 0.0)
        ring = _ring(x, y, rx=rx, ry=ry, turn0=turn0, generator=generator)
        red = []
        for _ in range(int(generator.integers(0, 2 + int(rx * ry / 14)))):
            turn, out = generator.uniform(0, 2 * np.pi), np.sqrt(generator.random()) * 0.8
            u, v = out * rx * np.cos(turn), out * ry * np.sin(turn)
            spot = (x + u * np.cos(turn0) - v * np.sin(turn0), y + u * np.sin(turn0) + v * np.cos(turn0))
            red.append(_red_cell(spot, generator=generator))
        line = ring(1.2)
        step = max(1, round(len(line) * 15 / (np.pi * (rx + ry + 2.4))))
        cells = []
        for k in range(int(generator.integers(step)), len(line), step):
            ahead = line[(k + 1) % len(line)] - line[k - 1]
            cells.append((*line[k], np.arctan2(ahead[1], ahead[0]), float(layout.region[gy, gx])))
        planned.append(Vessel(ring(thick), ring(0.0), 0.0, _rows(red, 5), _rows(cells, 4)))
    return planned


def paint_vessels(
    planned: Sequence[Vessel], *, shape: tuple[int, int], mpp: float, origin_px: tuple[int, int] = (0, 0)
) -> Vessels:
    """The vessels on a picture of `shape` pixels that begins at `origin_px` (x, y) of the slide."""
    part, blood = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    start = np.asarray(origin_px, np.int64) * 16
    for vessel in planned:
        outer, inner = (np.rint(line / mpp * 16).astype(np.int64) - start for line in (vessel.wall, vessel.lumen))
        outer, inner = outer.astype(np.int32), inner.astype(np.int32)
        if vessel.width:
            cv2.polylines(part, [outer], False, WALL, max(1, round((vessel.width + 5.0) / mpp)), cv2.LINE_8, 4)
            cv2.polylines(part, [inner], False, LUMEN, max(1, round(vessel.width / mpp)), cv2.LINE_8, 4)
        else:
            cv2.fillPoly(part, [outer], WALL, cv2.LINE_8, 4)
            cv2.fillPoly(part, [inner], LUMEN, cv2.LINE_8, 4)
        for x, y, short, angle, value in vessel.red_cells:
            spot = (int(np.rint(x / mpp * 16)) - int(start[0]), int(np.rint(y / mpp * 16)) - int(start[1]))
            axes = (int(3.4 / mpp * 16), int(short / mpp * 16))
            cv2.ellipse(blood, spot, axes, angle, 0, 360, int(value), -1, cv2.LINE_AA, 4)
    blood[part != LUMEN] = 0
    return Vessels(part, blood, mpp, origin_px)


def endothelium(planned: Sequence[Vessel]) -> pd.DataFrame:
    """The vessels' own nuclei, with the columns of a table of nuclei."""
    frame = np.concatenate([np.zeros((0, 4)), *(vessel.cells for vessel in planned)])
    table = pd.DataFrame({"x_um": frame[:, 0], "y_um": frame[:, 1], "area_um2": 24.0, "aspect": 3.6})
    table = table.assign(angle=frame[:, 2], amount=0.70, giant=False, region=frame[:, 3].astype(np.uint8))
    return table.assign(**{"class": pd.Categorical(["endothelium"] * len(table), list(CLASSES))})


def _rows(parts: Sequence[tuple[float, ...]], width: int) -> np.ndarray:
    return np.array(parts, float).reshape(-1, width)


def _ring(x: float, y: float, *, rx: float, ry: float, turn0: float, generator: np.random.Generator):  # type: ignore[no-untyped-def]
    """A function of the distance from the lumen, µm, that gives the outline (48, 2) in µm."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wavy = 1 + 0.08 * np.cos(3 * turn + generator.uniform(0, 6.3)) + 0.04 * np.cos(5 * turn + generator.uniform(0, 6.3))

    def at(out: float) -> np.ndarray:
        u, v = (rx * wavy + out) * np.cos(turn), (ry * wavy + out) * np.sin(turn)
        return np.stack([x + u * np.cos(turn0) - v * np.sin(turn0), y + u * np.sin(turn0) + v * np.cos(turn0)], axis=-1)

    return at


def _curved(layout: Layout, *, generator: np.random.Generator) -> list[Vessel]:
    """Arcs in myxoid tissue."""
    spots = np.argwhere(layout.region == MYXOID)
    planned = []
    for _ in range(int(generator.poisson(CURVED_PER_MM2 * len(spots) * GRID_UM**2 * 1e-6))):
        gy, gx = spots[generator.integers(len(spots))]
        turns = generator.uniform(0, 2 * np.pi) + np.cumsum(
            generator.normal(0, 0.09, 22) + generator.choice([-1, 1]) * 0.10
        )
        start = np.array([gx, gy]) * GRID_UM
        path = start + np.cumsum(np.column_stack([np.cos(turns), np.sin(turns)]) * 6.5, axis=0)
        grid = np.clip((path / GRID_UM).astype(int), 0, (layout.region.shape[1] - 1, layout.region.shape[0] - 1))
        inside = layout.region[grid[:, 1], grid[:, 0]] != GLASS
        path, turns = path[inside], turns[inside]
        if len(path) < 6:
            continue
        width, red, cells = float(generator.uniform(3.5, 6.0)), [], []
        for k in range(len(path)):
            if generator.random() < 0.3:
                red.append(_red_cell(path[k], generator=generator))
            if k % 2 == 0:
                side = (width / 2 + 1.2) * (1 if generator.random() < 0.5 else -1)
                place = path[k] + side * np.array([-np.sin(turns[k]), np.cos(turns[k])])
                cells.append((float(place[0]), float(place[1]), float(turns[k]), float(MYXOID)))
        planned.append(Vessel(path, path, width, _rows(red, 5), _rows(cells, 4)))
    return planned


def _red_cell(spot: Sequence[float] | np.ndarray, *, generator: np.random.Generator) -> tuple[float, ...]:
    short, angle = float(generator.uniform(2.2, 3.4)), float(generator.uniform(0, 180))
    return float(spot[0]), float(spot[1]), short, angle, float(generator.integers(190, 256))
