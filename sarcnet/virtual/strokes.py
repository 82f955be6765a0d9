"""Nuclei and cell bodies drawn with smooth edges: outlines with their true area, membrane, chromatin, nucleoli.

What is drawn follows what pathologists look for: coarse, vesicular chromatin and large nucleoli in large nuclei, deep
lobes and several nuclei in giant cells, metaphase plates and anaphase pairs in a cleared cell, ghosts and debris in
necrosis. Amounts are kept in bytes, UNIT for an amount of 1.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from sarcnet.virtual.layout import MYXOID
from sarcnet.virtual.nuclei import CLASSES

UNIT = 120.0
CORNERS = 24
_SHIFT = 4  # bits of sub-pixel precision in OpenCV's drawing
TUMOUR, MITOSIS, FIBROBLAST, LYMPHOCYTE, ENDOTHELIUM, NECROTIC = range(len(CLASSES))
TONE = 100.0  # byte of the tone of an average cell body
GIANT = 2.1  # times the median area from which on a nucleus is a giant


def outlines(nuclei: pd.DataFrame, *, generator: np.random.Generator) -> np.ndarray:
    """(n, CORNERS, 2) µm around each centre, with the area that the table says.

    Ellipses bent by three harmonics, more the larger the nucleus: bizarre giants, calm small ones.
    """
    n = len(nuclei)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    area, aspect, angle = (nuclei[name].to_numpy()[:, None] for name in ("area_um2", "aspect", "angle"))
    bend = 0.03 + 0.11 * np.clip((area - 60) / 250, 0, 1)
    radius = np.ones((n, CORNERS))
    for harmonic in (2, 3, 5):
        radius += bend * generator.standard_normal((n, 1)) * np.cos(harmonic * turn + generator.uniform(0, 6.3, (n, 1)))
    radius = np.clip(radius, 0.5, 1.6)
    radius *= np.sqrt(area / np.pi) / np.sqrt((radius**2).mean(1, keepdims=True))
    along, across = radius * np.cos(turn) * np.sqrt(aspect), radius * np.sin(turn) / np.sqrt(aspect)
    across += 0.012 * generator.standard_normal((n, 1)) * (along**2 - (along**2).mean(1, keepdims=True))  # banana
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)


def draw_nuclei(
    nuclei: pd.DataFrame, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator
) -> np.ndarray:
    """Haematoxylin of nuclei, (h, w) uint8 in units of 1 / UNIT; 0 elsewhere."""
    canvas = np.zeros(shape, np.uint8)
    shapes = outlines(nuclei, generator=generator)  # µm
    radius = np.sqrt(nuclei["area_um2"].to_numpy() / np.pi)
    middle = nuclei[["x_um", "y_um"]].to_numpy()
    kind, amount = nuclei["class"].cat.codes.to_numpy(), nuclei["amount"].to_numpy()
    angle = nuclei["angle"].to_numpy()
    inner = np.clip(1 - 0.75 / (radius * np.sqrt(1 / nuclei["aspect"].to_numpy())), 0.45, 0.9)  # membrane of 0.75 µm
    outer_px = _fixed((shapes + middle[:, None]) / mpp)
    inner_px = _fixed((shapes * inner[:, None, None] + middle[:, None]) / mpp)
    dice = generator.random((len(nuclei), 8))
    tumour = kind == TUMOUR
    open_chromatin = np.clip(1.02 - 0.0020 * nuclei["area_um2"].to_numpy(), 0.66, 0.95)
    giant = (
        np.where(tumour, nuclei["area_um2"].to_numpy() / np.median(nuclei["area_um2"][tumour]), 0) > GIANT
        if (tumour.any())
        else np.zeros(len(nuclei), bool)
    )
    for k in range(len(nuclei)):
        value = amount[k] * UNIT
        if kind[k] == MITOSIS:
            _mitosis(canvas, middle[k] / mpp, angle=angle[k], radius=radius[k] / mpp, value=value, dice=dice[k])
        elif kind[k] == NECROTIC:
            _dying(canvas, outer_px[k], inner_px[k], middle[k] / mpp, value=value, mpp=mpp, dice=dice[k])
        elif giant[k] and dice[k, 7] < 0.55:
            _many(canvas, shapes[k] / mpp, middle[k] / mpp, value=value, dice=dice[k], mpp=mpp)
        else:
            _fill(canvas, outer_px[k], value * (1.30 if tumour[k] else 1.08))
            if tumour[k]:
                _fill(canvas, inner_px[k], value * open_chromatin[k])
                _nucleoli(canvas, shapes[k], middle[k], value=value, dice=dice[k], reach=radius[k], mpp=mpp)
    return canvas


def draw_bodies(
    nuclei: pd.DataFrame,
    *,
    shape: tuple[int, int],
    mpp: float,
    spacing_um: float,
    spindle: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Tone of the cell bodies, (h, w) uint8: TONE on average, more where eosinophilic, 0 between cells.

    Args:
        spacing_um: distance between neighbours, to which bodies reach.
        spindle: length / width of a body.
    """
    canvas = np.zeros(shape, np.uint8)
    chosen = nuclei[nuclei["class"].isin(["tumour", "mitosis"])]
    n = len(chosen)
    if not n:
        return canvas
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    mitotic = (chosen["class"] == "mitosis").to_numpy()
    loose = (chosen["region"] == MYXOID).to_numpy()
    own = np.sqrt(chosen["area_um2"].to_numpy() / np.pi)
    size = np.maximum(own * 1.35, spacing_um * generator.uniform(0.48, 0.68, n))
    size = np.where(loose, own * generator.uniform(1.15, 1.5, n), size)
    ratio = np.where(mitotic, 1.1, spindle * np.exp(0.2 * generator.standard_normal(n)))[:, None]
    wobble = np.ones((n, CORNERS))
    for harmonic in (2, 3, 4):
        wobble += 0.07 * generator.standard_normal((n, 1)) * np.cos(harmonic * turn + generator.uniform(0, 6.3, (n, 1)))
    pointed = np.abs(np.cos(turn)) ** 3 * np.clip(ratio - 1, 0, 2) * 0.3
    reach = size[:, None] * wobble
    along = reach * (np.cos(turn) * np.sqrt(ratio) * (1 + pointed))
    across = reach * np.sin(turn) / np.sqrt(ratio)
    cos, sin = (f(chosen["angle"].to_numpy())[:, None] for f in (np.cos, np.sin))
    corners = np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
    polygons = _fixed((corners + chosen[["x_um", "y_um"]].to_numpy()[:, None]) / mpp)
    rims = _fixed((corners * 0.93 + chosen[["x_um", "y_um"]].to_numpy()[:, None]) / mpp)
    tone = np.where(mitotic, 45, TONE * np.exp(0.15 * generator.standard_normal(n)))
    tone = np.where(loose, 1.7 * tone, tone)
    for k in range(n):
        _fill(canvas, polygons[k], tone[k] * 1.15)
        _fill(canvas, rims[k], tone[k])
    return cv2.GaussianBlur(canvas, (0, 0), 0.45 / mpp)


def _mitosis(
    canvas: np.ndarray, centre: np.ndarray, *, angle: float, radius: float, value: float, dice: np.ndarray
) -> None:
    """A metaphase plate, an anaphase pair, a prometaphase clump or a three-armed figure, of the nucleus's area."""
    turn = angle + np.pi * dice[0]
    way = np.array([np.cos(turn), np.sin(turn)])
    if dice[1] < 0.40:
        _bar(canvas, centre, turn, length=2.9 * radius, width=1.1 * radius, value=value, dice=dice)
    elif dice[1] < 0.62:
        side = np.array([-way[1], way[0]]) * radius * (0.9 + 0.5 * dice[2])
        for sign in (-1, 1):
            _bar(canvas, centre + sign * side, turn, length=2.3 * radius, width=0.7 * radius, value=value, dice=dice)
    elif dice[1] < 0.86:
        corners = np.linspace(0, 2 * np.pi, 17)[:-1]
        rough = radius * (0.9 + 0.35 * np.sin(corners * 5 + 6 * dice[2]) * np.sin(corners * 3 + 6 * dice[3]))
        rough *= 1 + 0.25 * (np.arange(16) % 2)
        spiky = np.stack([np.cos(corners) * rough, np.sin(corners) * rough * 0.8], axis=-1)
        _fill(canvas, _fixed(spiky + centre), value)
    else:
        for arm in range(3):
            leg = turn + arm * 2 * np.pi / 3
            tip = centre + 0.75 * radius * np.array([np.cos(leg), np.sin(leg)])
            _bar(canvas, tip, leg, length=1.5 * radius, width=0.65 * radius, value=value, dice=dice)


def _bar(
    canvas: np.ndarray,
    centre: np.ndarray,
    turn: float,
    *,
    length: float,
    width: float,
    value: float,
    dice: np.ndarray,
) -> None:
    """A bar of chromosomes with an uneven border."""
    steps = np.linspace(-1, 1, 7)
    uneven = 1 + 0.35 * np.sin(steps * 9 + 6 * dice[4])
    top = np.stack([steps * length / 2, uneven * width / 2], axis=-1)
    low = np.stack([steps[::-1] * length / 2, -(2 - uneven[::-1]) * width / 2], axis=-1)
    both = np.concatenate([top, low])
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.stack([both[:, 0] * cos - both[:, 1] * sin, both[:, 0] * sin + both[:, 1] * cos], axis=-1)
    _fill(canvas, _fixed(turned + centre), value)


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
            _fill(canvas, outer, value)
            return
        for k in range(4):
            turn, out = 2 * np.pi * dice[k + 1], (0.6 + 2.6 * dice[k]) / mpp
            spot = centre + out * np.array([np.cos(turn), np.sin(turn)])
            _disc(canvas, spot, (0.6 + 0.7 * dice[k + 2]) / mpp, value)
        return
    _fill(canvas, outer, value * 0.75)
    _fill(canvas, inner, value * 0.50)


def _many(
    canvas: np.ndarray, outline: np.ndarray, centre: np.ndarray, *, value: float, dice: np.ndarray, mpp: float
) -> None:
    """A giant's nuclei: two to four that touch and together have its area."""
    count = 2 + int(3 * dice[0])
    reach = np.sqrt((outline**2).sum(1).mean())
    for k in range(count):
        turn = 2 * np.pi * (k / count + 0.1 * dice[k + 1]) + 6 * dice[5]
        spot = centre + 0.72 * reach * np.array([np.cos(turn), np.sin(turn)])
        part = np.roll(outline, 5 * k, axis=0) / np.sqrt(count)
        _fill(canvas, _fixed(part + spot), value * 1.25)
        _fill(canvas, _fixed(part * 0.84 + spot), value * 0.85)
        _disc(canvas, spot + 0.2 * part[k], (0.8 + 0.5 * dice[k]) / mpp, value * 1.5)


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
            _disc(canvas, spot / mpp, min(0.5 + 0.14 * reach * dice[k + 4], 1.7) / mpp, value * 1.6)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels, the middle of the first at 0.5, in OpenCV's fixed point."""
    return np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _fill(canvas: np.ndarray, polygon: np.ndarray, value: float) -> None:
    cv2.fillPoly(canvas, [polygon], min(float(value), 255.0), cv2.LINE_AA, _SHIFT)


def _disc(canvas: np.ndarray, centre: np.ndarray, radius: float, value: float) -> None:
    x, y = int((centre[0] - 0.5) * 16), int((centre[1] - 0.5) * 16)
    cv2.circle(canvas, (x, y), int(radius * 16), min(float(value), 255.0), -1, cv2.LINE_AA, _SHIFT)
