"""Filling polygons and discs with smooth edges, in OpenCV's fixed point."""

from __future__ import annotations

import cv2
import numpy as np

UNIT = 120.0  # byte of an amount of 1
_SHIFT = 4  # bits of sub-pixel precision


def fixed(points: np.ndarray, *, origin_px: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Pixels (…, 2), the middle of the first at 0.5, in OpenCV's fixed point, counted from `origin_px` (x, y).

    Rounded before the origin is taken off, so that a shape looks the same from everywhere.
    """
    rounded = np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
    return rounded - np.asarray(origin_px, np.int32) * (1 << _SHIFT) if any(origin_px) else rounded


def fill(canvas: np.ndarray, polygon: np.ndarray, value: float) -> None:
    """Fill a polygon (k, 2) in fixed point."""
    cv2.fillPoly(canvas, (polygon,), value if value < 255.0 else 255.0, cv2.LINE_AA, _SHIFT)


def disc(canvas: np.ndarray, centre: np.ndarray, radius: float, value: float) -> None:
    """Fill a disc; centre (x, y) and radius in px."""
    x, y = (round((float(part) - 0.5) * 16) for part in centre)
    cv2.circle(canvas, (x, y), round(radius * 16), value if value < 255.0 else 255.0, -1, cv2.LINE_AA, _SHIFT)
