"""Fat and muscle at the tumour's edge: a web of thin walls with flat nuclei against them, and bundles of fibres."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from scipy.spatial import QhullError, Voronoi, cKDTree

from virtual_cohort.rendering.layout import FAT, GRID_UM, Layout

FAT_CELL_UM = 62.0
MUSCLE_FIBRE_UM = 34.0
SARCOMERE_UM = 2.5
_SHIFT = 4


def fat_web(layout: Layout, *, generator: np.random.Generator) -> np.ndarray:
    """Walls between fat cells, (k, 2, 2): ends in µm, of cells of about FAT_CELL_UM."""
    height, width = layout.region.shape[0] * GRID_UM, layout.region.shape[1] * GRID_UM
    y, x = np.mgrid[-1 : height / FAT_CELL_UM + 1, -1 : width / FAT_CELL_UM + 1]
    seeds = np.column_stack([(x + 0.5 * (y % 2)).ravel(), y.ravel()]) + generator.normal(0, 0.20, (x.size, 2))
    return walls(seeds * FAT_CELL_UM, layout=layout)


def walls(seeds: np.ndarray, *, layout: Layout, corner_um: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Walls (k, 2, 2) in µm between the fat cells around `seeds` (n, 2), µm, that lie in fat; `corner_um`: where on the
    slide the layout's top left lies, (x, y)."""
    if not (layout.region == FAT).any():
        return np.zeros((0, 2, 2))
    try:
        web = Voronoi(seeds)
    except QhullError:
        return np.zeros((0, 2, 2))
    pairs = np.array([pair for pair in web.ridge_vertices if pair[0] >= 0], int)
    ends = web.vertices[pairs]
    place = ((ends.mean(axis=1) - corner_um) / GRID_UM).astype(int)
    middle = np.clip(place, 0, np.array(layout.region.shape)[::-1] - 1)
    return ends[layout.region[middle[:, 1], middle[:, 0]] == FAT]


def draw_web(
    ends: np.ndarray,
    *,
    layout: Layout,
    shape: tuple[int, int],
    mpp: float,
    origin_px: tuple[int, int] = (0, 0),
    bordered: bool = True,
) -> np.ndarray | None:
    """Fat walls on a canvas (h, w) uint8, 255 in their middle; thicker at the cells' corners. None without fat.

    Args:
        ends: of the walls, in µm on the slide.
        layout: of the picture.
        shape: its pixels. mpp: its µm/px. origin_px: where on the slide its top left lies, (x, y).
        bordered: whether the fat's border is drawn as well.
    """
    fat = layout.region == FAT
    if not fat.any():
        return None
    canvas, start = np.zeros(shape, np.uint8), np.asarray(origin_px) * (1 << _SHIFT)
    for border in cv2.findContours(fat.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0] if bordered else ():
        line = np.rint((border[::2] + 0.5) * (GRID_UM / mpp * (1 << _SHIFT))).astype(np.int32)
        cv2.polylines(canvas, [line], True, 235, max(1, round(1.6 / mpp)), cv2.LINE_AA, _SHIFT)
    for one, other in (np.rint(ends / mpp * (1 << _SHIFT)).astype(int) - start).tolist():
        cv2.line(canvas, one, other, 255, max(1, round(1.3 / mpp)), cv2.LINE_AA, _SHIFT)
        for x, y in (one, other):
            cv2.circle(canvas, (x, y), round(1.6 / mpp * (1 << _SHIFT)), 225, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def against_walls(nuclei: pd.DataFrame, *, ends: np.ndarray) -> pd.DataFrame:
    """The same nuclei, those in fat moved onto the nearest wall and laid along it."""
    fat = np.flatnonzero((nuclei["region"] == FAT).to_numpy())
    if not len(fat) or not len(ends):
        return nuclei
    middle, way = ends.mean(axis=1), ends[:, 1] - ends[:, 0]
    nearest = cKDTree(middle).query(nuclei[["x_um", "y_um"]].to_numpy()[fat])[1]
    moved = nuclei.copy()
    for name, values in (
        ("x_um", middle[nearest, 0]),
        ("y_um", middle[nearest, 1]),
        ("angle", np.arctan2(way[nearest, 1], way[nearest, 0])),
    ):
        column = moved[name].to_numpy().copy()
        column[fat] = values
        moved[name] = column
    return moved


def muscle_bands(*, angle: float, rows: np.ndarray, columns: np.ndarray, mpp: float) -> np.ndarray:
    """Eosin of skeletal muscle relative to its level, (h, w) float32: fibres with gaps between them, faint striation.

    Args:
        angle: of the fibres, radians.
        rows: (h,) of the slide's pixels. columns: (w,), likewise.
        mpp: µm/px.
    """
    y = (rows.astype(np.float32) * np.float32(mpp))[:, None]
    x = (columns.astype(np.float32) * np.float32(mpp))[None, :]
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = (y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))) / np.float32(MUSCLE_FIBRE_UM)
    across += np.float32(0.10) * np.sin(along / 47) + np.float32(0.06) * np.sin(along / 19 + 3 * across)
    number = np.floor(across)
    place = np.abs(across - number - np.float32(0.5))
    tone = 1 + np.float32(0.10) * np.sin(number * np.float32(12.9898))
    stripes = 1 + np.float32(0.09) * np.sin(along * np.float32(2 * np.pi / SARCOMERE_UM) + number)
    return tone * stripes * np.clip((np.float32(0.475) - place) * 28, 0.04, 1)
