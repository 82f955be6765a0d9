"""Nuclei and cell bodies drawn with smooth edges: outlines with their true area, membrane, chromatin, nucleoli.

What is drawn follows what pathologists look for: coarse, vesicular chromatin and large nucleoli in large nuclei, deep
lobes, smudged chromatin and several nuclei in giant cells, ghosts and debris in necrosis. Shapes are drawn first, by
chance, and then painted, without any: so a part of a slide can be painted like the whole. Amounts are kept in bytes,
UNIT for an amount of 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from virtual_cohort.rendering.brush import UNIT, disc, fill, fixed
from virtual_cohort.rendering.layout import MYXOID
from virtual_cohort.rendering.mitoses import draw_mitosis
from virtual_cohort.rendering.nuclei import CLASSES

CORNERS = 22
BODY_CORNERS = 18
TUMOUR, MITOSIS, FIBROBLAST, LYMPHOCYTE, ENDOTHELIUM, NECROTIC = range(len(CLASSES))
TONE = 100.0  # byte of the tone of an average cell body
CLEARED = 45.0  # of a dividing cell, whose cytoplasm is cleared
BETWEEN = 73  # between cells
BORDER = 60.0  # of the narrow gap between a cell and the next
BORDER_UM = 0.5
SEVERAL = 0.5  # share of giants with several nuclei
REACH_UM = 5.5  # how far the cytoplasm reaches beyond the nucleus, at most


@dataclass(frozen=True)
class Shapes:
    """Of n nuclei: `corners` (n, CORNERS, 2) in µm around each centre, `dice` (n, 8) for what is inside."""

    corners: np.ndarray
    dice: np.ndarray


@dataclass(frozen=True)
class Bodies:
    """Of m cells, in the order in which they are painted: `outer` and `inner` (m, BODY_CORNERS, 2) in µm from the
    slide's top left, and `tone` (m,)."""

    outer: np.ndarray
    inner: np.ndarray
    tone: np.ndarray


def nuclear_shapes(nuclei: pd.DataFrame, *, generator: np.random.Generator) -> Shapes:
    """Outlines with the area that the table says.

    Ellipses bent by three harmonics, more the larger the nucleus: bizarre giants, calm small ones.
    """
    n = len(nuclei)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    area, aspect, angle = (nuclei[name].to_numpy()[:, None] for name in ("area_um2", "aspect", "angle"))
    bend = 0.03 + 0.11 * np.clip((area - 60) / 250, 0, 1) + 0.06 * nuclei["giant"].to_numpy()[:, None]
    radius = np.ones((n, CORNERS))
    for harmonic, weight in ((2, 1.2), (3, 1.0), (5, 0.45)):
        radius += (
            weight
            * bend
            * generator.standard_normal((n, 1))
            * np.cos(harmonic * turn + generator.uniform(0, 6.3, (n, 1)))
        )
    radius = np.clip(radius, 0.5, 1.6)
    radius *= np.sqrt(area / np.pi) / np.sqrt((radius**2).mean(1, keepdims=True))
    along, across = radius * np.cos(turn) * np.sqrt(aspect), radius * np.sin(turn) / np.sqrt(aspect)
    across += 0.012 * generator.standard_normal((n, 1)) * (along**2 - (along**2).mean(1, keepdims=True))  # banana
    cos, sin = np.cos(angle), np.sin(angle)
    corners = np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
    return Shapes(corners, generator.random((n, 8)))


def draw_nuclei(
    nuclei: pd.DataFrame,
    *,
    shapes: Shapes,
    shape: tuple[int, int],
    mpp: float,
    origin_px: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Haematoxylin of nuclei, (h, w) uint8 in units of 1 / UNIT; 0 elsewhere.

    Args:
        nuclei: to draw, in this order.
        shapes: of these nuclei.
        shape: pixels of the picture. mpp: its µm/px.
        origin_px: where on the slide the picture's top left lies, (x, y).
    """
    canvas = np.zeros(shape, np.uint8)
    area, aspect, kind = (
        nuclei["area_um2"].to_numpy(),
        nuclei["aspect"].to_numpy(),
        nuclei["class"].cat.codes.to_numpy(),
    )
    radius = np.sqrt(area / np.pi)
    middle = nuclei[["x_um", "y_um"]].to_numpy()
    inner = np.clip(1 - 0.75 / (radius * np.sqrt(1 / aspect)), 0.45, 0.9)  # membrane of 0.75 µm
    outer_px = fixed((shapes.corners + middle[:, None]) / mpp, origin_px=origin_px)
    inner_px = fixed((shapes.corners * inner[:, None, None] + middle[:, None]) / mpp, origin_px=origin_px)
    centre, dice = middle / mpp - np.asarray(origin_px), shapes.dice
    tumour, giant = kind == TUMOUR, nuclei["giant"].to_numpy(bool)
    value = nuclei["amount"].to_numpy() * UNIT
    rim = value * np.where(tumour, 1.30, 1.08)
    inside = value * np.where(giant, 1.05, np.clip(1.02 - 0.0020 * area, 0.66, 0.95))  # smudged, or vesicular if large
    for k in range(len(nuclei)):
        if kind[k] == MITOSIS:
            draw_mitosis(
                canvas, centre[k], angle=nuclei["angle"].iat[k], radius=radius[k] / mpp, value=value[k], dice=dice[k]
            )
        elif kind[k] == NECROTIC:
            _dying(canvas, outer_px[k], inner_px[k], centre[k], value=value[k], mpp=mpp, dice=dice[k])
        elif giant[k] and dice[k, 7] < SEVERAL:
            _many(canvas, shapes.corners[k] / mpp, centre[k], value=value[k], dice=dice[k], mpp=mpp)
        else:
            fill(canvas, outer_px[k], rim[k])
            if tumour[k]:
                fill(canvas, inner_px[k], inside[k])
                _nucleoli(
                    canvas, shapes.corners[k] / mpp, centre[k], value=value[k], dice=dice[k], reach=radius[k], mpp=mpp
                )
    return canvas


def cell_bodies(nuclei: pd.DataFrame, *, spacing_um: float, spindle: float, generator: np.random.Generator) -> Bodies:
    """Outlines of the cytoplasm around tumour nuclei and mitoses.

    Args:
        nuclei: of all classes.
        spacing_um: distance between neighbours, to which bodies reach if it is not too far.
        spindle: length / width of a body.
    """
    chosen = nuclei[nuclei["class"].isin(["tumour", "mitosis"])]
    n = len(chosen)
    turn = np.linspace(0, 2 * np.pi, BODY_CORNERS, endpoint=False)
    mitotic, giant = (chosen["class"] == "mitosis").to_numpy(), chosen["giant"].to_numpy(bool)
    loose = (chosen["region"] == MYXOID).to_numpy()
    own = np.sqrt(chosen["area_um2"].to_numpy() / np.pi)
    size = np.maximum(own * 1.35, np.minimum(spacing_um * generator.uniform(0.48, 0.68, n), own * 1.25 + REACH_UM))
    size = np.where(loose, own * generator.uniform(1.15, 1.5, n), size)
    size = np.where(mitotic, np.maximum(own * 1.9, 6.8), np.where(giant, own * 1.6, size))
    ratio = np.where(mitotic, 1.1, spindle * np.exp(0.2 * generator.standard_normal(n)))
    ratio = np.where(giant, 1 + 0.3 * (ratio - 1), ratio)[:, None]
    wobble = np.ones((n, BODY_CORNERS))
    uneven = np.where(mitotic, 0.02, 0.07)[:, None]
    for harmonic in (2, 3, 4):
        wobble += (
            uneven * generator.standard_normal((n, 1)) * np.cos(harmonic * turn + generator.uniform(0, 6.3, (n, 1)))
        )
    pointed = np.abs(np.cos(turn)) ** 3 * np.clip(ratio - 1, 0, 2) * 0.3
    reach = size[:, None] * wobble
    along = reach * (np.cos(turn) * np.sqrt(ratio) * (1 + pointed))
    across = reach * np.sin(turn) / np.sqrt(ratio)
    cos, sin = (f(chosen["angle"].to_numpy())[:, None] for f in (np.cos, np.sin))
    corners = np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
    middle = chosen[["x_um", "y_um"]].to_numpy()[:, None]
    inset = (1 - BORDER_UM / (size / np.sqrt(ratio[:, 0])))[:, None, None]
    tone = np.where(mitotic, CLEARED, TONE * np.exp(0.16 * generator.standard_normal(n)))
    tone = np.where(loose, 1.7 * tone, np.where(giant, 1.12 * tone, tone))
    return Bodies(corners + middle, corners * inset + middle, tone)


def draw_bodies(
    bodies: Bodies, *, shape: tuple[int, int], mpp: float, origin_px: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Tone of the cell bodies, (h, w) uint8: TONE on average, more where eosinophilic, BETWEEN between cells."""
    canvas = np.full(shape, BETWEEN, np.uint8)
    outer, inner = (fixed(part / mpp, origin_px=origin_px) for part in (bodies.outer, bodies.inner))
    for k in range(len(bodies.tone)):
        fill(canvas, outer[k], BORDER)
        fill(canvas, inner[k], bodies.tone[k])
    return cv2.GaussianBlur(canvas, (3, 3), 0.3 / mpp) if len(bodies.tone) else canvas


def _dying(
    canvas: np.ndarray,
    outer: np.ndarray,
    inner: np.ndarray,
    centre: np.ndarray,
    *,
    value: float,
    mpp: float,
    dice: np.ndarray,
) -> None:
    """A shrunken black nucleus, crumbs of one, or the ghost of an outline."""
    if value > 0.7 * UNIT:
        if dice[0] < 0.5:
            fill(canvas, outer, value)
            return
        for k in range(4):
            turn, out = 2 * np.pi * dice[k + 1], (0.6 + 2.6 * dice[k]) / mpp
            spot = centre + out * np.array([np.cos(turn), np.sin(turn)])
            disc(canvas, spot, (0.6 + 0.7 * dice[k + 2]) / mpp, value)
        return
    fill(canvas, outer, value * 0.75)
    fill(canvas, inner, value * 0.50)


def _many(
    canvas: np.ndarray, outline: np.ndarray, centre: np.ndarray, *, value: float, dice: np.ndarray, mpp: float
) -> None:
    """A giant's nuclei: two to five that touch and together have its area."""
    count = 2 + int(4 * dice[0])
    reach = np.sqrt((outline**2).sum(1).mean())
    for k in range(count):
        turn = 2 * np.pi * (k / count + 0.1 * dice[k + 1]) + 6 * dice[5]
        spot = centre + 0.72 * reach * np.array([np.cos(turn), np.sin(turn)])
        part = np.roll(outline, 5 * k, axis=0) / np.sqrt(count)
        fill(canvas, fixed(part + spot), value * 1.25)
        fill(canvas, fixed(part * 0.84 + spot), value * 0.85)
        disc(canvas, spot + 0.2 * part[k], (0.8 + 0.5 * dice[k]) / mpp, value * 1.5)


def _nucleoli(
    canvas: np.ndarray,
    outline: np.ndarray,
    centre: np.ndarray,
    *,
    value: float,
    dice: np.ndarray,
    reach: float,
    mpp: float,
) -> None:
    """None to two dark dots, more often and larger in large nuclei; `reach`: radius of the nucleus, µm."""
    for k in range(2):
        if dice[k] < 0.07 * reach - 0.05 - 0.2 * k:
            spot = centre + 0.45 * outline[int(dice[k + 2] * CORNERS)]
            disc(canvas, spot, min(0.5 + 0.14 * reach * dice[k + 4], 1.9) / mpp, value * 1.6)
