"""Small blood vessels: a wall, endothelial nuclei along it, red cells inside; more of them in septa.

In myxoid tissue long, thin, curved vessels run as well, as myxofibrosarcoma is known for.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from sarcnet.virtual.layout import FAT, GLASS, GRID_UM, MYXOID, SEPTUM, VESSEL, Layout
from sarcnet.virtual.nuclei import CLASSES

PER_MM2 = 14.0
CURVED_PER_MM2 = 13.0  # of myxoid tissue
SEPTUM_FAVOUR = 6.0  # times as many as elsewhere
WALL, LUMEN = 1, 2


@dataclass(frozen=True)
class Vessels:
    """Vessels of a slide: `part` (h, w) uint8 is 0, WALL or LUMEN, `blood` (h, w) uint8 the red cells, `endothelium`
    has the columns of a table of nuclei. `mpp` in µm/px."""

    part: np.ndarray
    blood: np.ndarray
    endothelium: pd.DataFrame
    mpp: float

    def with_endothelium(self, nuclei: pd.DataFrame) -> pd.DataFrame:
        """The nuclei that lie outside of every vessel, and the vessels' own."""
        if self.endothelium.empty:
            return nuclei
        y, x = (
            np.clip((nuclei[name].to_numpy() / self.mpp).astype(int), 0, size - 1)
            for name, size in zip(("y_um", "x_um"), self.part.shape, strict=True)
        )
        return pd.concat([nuclei[self.part[y, x] == 0], self.endothelium], ignore_index=True)

    def mapped(self, region: np.ndarray) -> np.ndarray:
        """The map of regions (h, w) at GRID_UM with the vessels on it."""
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * GRID_UM / self.mpp).astype(int), size - 1)
            for n, size in zip(region.shape, self.part.shape, strict=True)
        )
        return np.where(self.part[np.ix_(rows, columns)] > 0, VESSEL, region).astype(np.uint8)


def draw_vessels(layout: Layout, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator) -> Vessels:
    """Vessels of random size and place in the tissue of a slide of `shape` pixels."""
    part, blood = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    cells = _curved(layout, part=part, blood=blood, mpp=mpp, generator=generator)
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
        _fill(part, ring(thick), value=WALL, mpp=mpp)
        _fill(part, ring(0.0), value=LUMEN, mpp=mpp)
        for _ in range(int(generator.integers(0, 2 + int(rx * ry / 14)))):
            turn, out = generator.uniform(0, 2 * np.pi), np.sqrt(generator.random()) * 0.8
            u, v = out * rx * np.cos(turn), out * ry * np.sin(turn)
            spot = (x + u * np.cos(turn0) - v * np.sin(turn0), y + u * np.sin(turn0) + v * np.cos(turn0))
            _red_cell(blood, spot, mpp=mpp, generator=generator)
        line = ring(1.2)
        step = max(1, round(len(line) * 15 / (np.pi * (rx + ry + 2.4))))
        for k in range(int(generator.integers(step)), len(line), step):
            ahead = line[(k + 1) % len(line)] - line[k - 1]
            cells.append((*line[k], np.arctan2(ahead[1], ahead[0]), float(layout.region[gy, gx])))
    blood[part != LUMEN] = 0
    return Vessels(part, blood, _endothelium(np.array(cells).reshape(-1, 4)), mpp)


def _ring(x: float, y: float, *, rx: float, ry: float, turn0: float, generator: np.random.Generator):  # type: ignore[no-untyped-def]
    """A function of the distance from the lumen, µm, that gives the outline (48, 2) in µm."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wavy = 1 + 0.08 * np.cos(3 * turn + generator.uniform(0, 6.3)) + 0.04 * np.cos(5 * turn + generator.uniform(0, 6.3))

    def at(out: float) -> np.ndarray:
        u, v = (rx * wavy + out) * np.cos(turn), (ry * wavy + out) * np.sin(turn)
        return np.stack([x + u * np.cos(turn0) - v * np.sin(turn0), y + u * np.sin(turn0) + v * np.cos(turn0)], axis=-1)

    return at


def _curved(
    layout: Layout, *, part: np.ndarray, blood: np.ndarray, mpp: float, generator: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """Draws arcs in myxoid tissue; endothelial cells along them: x, y, angle, region."""
    spots = np.argwhere(layout.region == MYXOID)
    cells: list[tuple[float, float, float, float]] = []
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
        width = float(generator.uniform(3.5, 6.0))
        points = [np.rint(path / mpp * 16).astype(np.int32)]
        cv2.polylines(part, points, False, WALL, max(1, round((width + 5.0) / mpp)), cv2.LINE_8, 4)
        cv2.polylines(part, points, False, LUMEN, max(1, round(width / mpp)), cv2.LINE_8, 4)
        for k in range(len(path)):
            if generator.random() < 0.3:
                _red_cell(blood, path[k], mpp=mpp, generator=generator)
            if k % 2 == 0:
                side = (width / 2 + 1.2) * (1 if generator.random() < 0.5 else -1)
                place = path[k] + side * np.array([-np.sin(turns[k]), np.cos(turns[k])])
                cells.append((float(place[0]), float(place[1]), float(turns[k]), float(MYXOID)))
    return cells


def _red_cell(blood: np.ndarray, spot: object, *, mpp: float, generator: np.random.Generator) -> None:
    x, y = np.rint(np.asarray(spot) / mpp * 16).astype(int)
    axes = (int(3.4 / mpp * 16), int(generator.uniform(2.2, 3.4) / mpp * 16))
    box = ((int(x), int(y)), axes, float(generator.uniform(0, 180)))
    cv2.ellipse(blood, box[0], box[1], box[2], 0, 360, int(generator.integers(190, 256)), -1, cv2.LINE_AA, 4)


def _fill(canvas: np.ndarray, points: np.ndarray, *, value: int, mpp: float) -> None:
    cv2.fillPoly(canvas, [np.rint(points / mpp * 16).astype(np.int32)], value, cv2.LINE_8, 4)


def _endothelium(frame: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"x_um": frame[:, 0], "y_um": frame[:, 1], "area_um2": 24.0, "aspect": 3.6})
    table = table.assign(angle=frame[:, 2], amount=0.70, region=frame[:, 3].astype(np.uint8))
    return table.assign(**{"class": pd.Categorical(["endothelium"] * len(table), list(CLASSES))})
