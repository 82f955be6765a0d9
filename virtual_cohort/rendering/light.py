"""The light that comes through a slide: amounts of haematoxylin, eosin and saffron per pixel, and what they absorb.

Everything is painted band by band, in bands that stay in the processor's cache: fibres are looked up in textures by
their direction, cell bodies and nuclei come as outlines that were drawn before, and the stains' amounts follow from
both. Chance enters through :class:`Ground` only, so that a part of a slide is painted like the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from virtual_cohort.patients.centres import Scanner
from virtual_cohort.rendering.adipose import muscle_bands
from virtual_cohort.rendering.brush import UNIT
from virtual_cohort.rendering.layout import GRID_UM, MUSCLE, NECROSIS, Layout, smooth_noise
from virtual_cohort.rendering.stain import Dyes
from virtual_cohort.rendering.strokes import BETWEEN, TONE
from virtual_cohort.rendering.textures import DIRECTIONS, LEVELS, SIDE, chromatin, fibres, looked_at
from virtual_cohort.rendering.vessels import LUMEN, WALL, Vessels

ROWS = 64
# Amounts by region, in the order of REGIONS. Where there is saffron, collagen takes it up instead of eosin.
EOSIN = (0.0, 0.31, 0.40, 0.11, 0.39, 0.0, 0.40, 0.10, 0.2)
EOSIN_BESIDE_SAFFRON = (0.0, 0.30, 0.24, 0.11, 0.38, 0.0, 0.42, 0.10, 0.2)
HAEMATOXYLIN = (0.0, 0.085, 0.02, 0.090, 0.060, 0.0, 0.02, 0.06, 0.02)
SAFFRON = (0.0, 0.05, 0.34, 0.03, 0.05, 0.01, 0.03, 0.06, 0.1)
CLEFT = (-9.0, -1.7, -0.85, -1.6, -2.3, -9.0, -9.0, -1.4, -9.0)  # bundles paler than this are empty space
SHARPNESS = 16.0  # bytes of texture from tissue to empty space
FIBRIL, BUNDLE, GRANULE = 0.22, 0.20, 0.16  # deviation of eosin, relative, between cells
WITHIN = 0.38  # the same within a cell body, as a share
FULL_WITHIN = 0.85  # least share of a cell body that is not empty space
CHROMATIN = 0.27  # deviation of haematoxylin within a nucleus, relative
NUCLEAR_EOSIN = 0.13
COVERING = 2  # byte of nuclei from which on a pixel counts as nucleus


@dataclass(frozen=True)
class Strokes:
    """What is drawn as outlines, each (h, w) uint8: nuclei, cell bodies, walls of fat cells; and the vessels."""

    nuclei: np.ndarray
    bodies: np.ndarray
    web: np.ndarray | None
    vessels: Vessels


@dataclass(frozen=True)
class Ground:
    """What chance settles about a slide as a whole.

    `batch` (3,): strength of each stain; `thickness` (h, w): of the section, on the layout's grid; `origin`: from where
    textures are looked at; `frays`: the same for how the borders of bundles are frayed, down and across;
    `muscle_angle`: of muscle fibres, radians.
    """

    batch: np.ndarray
    thickness: np.ndarray
    origin: tuple[int, int]
    frays: tuple[tuple[int, int], tuple[int, int]]
    muscle_angle: float


def draw_ground(generator: np.random.Generator, *, layout: Layout) -> Ground:
    """The ground of a slide that is painted as a whole."""
    batch = np.exp(np.array([0.07, 0.09, 0.12]) * generator.standard_normal(3))
    thickness = 1 + 0.06 * smooth_noise(generator, shape=layout.region.shape, cells=60)
    origin, down, across = ((int(a), int(b)) for a, b in generator.integers(SIDE, size=(3, 2)))
    muscle = layout.region == MUSCLE
    angle = float(np.median(layout.angle[muscle])) if muscle.any() else 0.0
    return Ground(batch, thickness, origin, (down, across), angle)


def light_through(
    layout: Layout,
    *,
    strokes: Strokes,
    scanner: Scanner,
    strength: float,
    ground: Ground,
    origin_px: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """What comes through the slide, (h, w, 3) uint8.

    Args:
        layout: of the picture. strokes: likewise.
        scanner: its stain and µm/px.
        strength: of the stain, 1 being usual.
        ground: of the slide; its thickness that of the picture.
        origin_px: where on the slide the picture's top left lies, (x, y); even numbers.
    """
    shape, mpp = strokes.nuclei.shape, scanner.mpp
    dyes = Dyes.of(scanner, batch=ground.batch * strength)
    left, top = origin_px
    direction = _direction(layout, shape=shape, mpp=mpp, ground=ground, origin_px=origin_px)
    grains = looked_at(chromatin(mpp), width=shape[1], origin=(ground.origin[1] - top, ground.origin[0] - left))
    eosin_level = _spread(
        layout, levels=EOSIN_BESIDE_SAFFRON if dyes.saffron else EOSIN, by=ground.thickness, shape=shape
    )
    haem_level = _spread(layout, levels=HAEMATOXYLIN, by=ground.thickness, shape=shape)
    saffron_level = _spread(layout, levels=SAFFRON, by=ground.thickness, shape=shape) if dyes.saffron else None
    sharp = tuple((128 + LEVELS * z) / SHARPNESS for z in CLEFT)
    cleft_level = _spread(layout, levels=sharp, by=1.0, shape=shape)
    tissue = cv2.resize(layout.tissue.astype(np.float32) * 60 + np.float32(0.5), shape[::-1])
    muscle, dead = (_share(layout, region=region, shape=shape) for region in (MUSCLE, NECROSIS))
    table, columns = fibres(mpp), ((np.arange(shape[1]) + left + ground.origin[1]) & (SIDE - 1)).astype(np.int32)
    picture = np.empty((*shape, 3), np.uint8)
    for first in range(0, shape[0], ROWS):
        rows = slice(first, min(first + ROWS, shape[0]))
        lines = ((np.arange(rows.start, rows.stop) + top + ground.origin[0]) & (SIDE - 1)).astype(np.int32)
        place = direction[rows].astype(np.int32)
        place *= np.int32(SIDE * SIDE)
        place += lines[:, None] * np.int32(SIDE)
        place += columns
        both = np.take(table, place, mode="clip")  # (rows, w); clip: nothing to clip, and faster
        bundle = (both >> 8).astype(np.float32)
        fibril = (both & 255).astype(np.float32)
        fibril -= 128
        granule = grains[np.arange(rows.start, rows.stop) & (SIDE - 1)]
        body = strokes.bodies[rows]
        in_cell: np.ndarray = (body != BETWEEN).astype(np.float32)
        full = bundle * np.float32(1 / SHARPNESS)
        full -= cleft_level.band(rows)
        cv2.min(full, 1.0, dst=full)  # type: ignore[call-overload]
        cv2.max(full, in_cell * np.float32(FULL_WITHIN), dst=full)
        edge: np.ndarray = tissue[rows]
        if edge.min() < 1.5:
            edge += np.float32(60 * 0.0025 / LEVELS) * fibril
            np.clip(edge, 0, 1, out=edge)
            full *= edge
        weave: np.ndarray = cv2.addWeighted(fibril, FIBRIL / LEVELS, bundle, BUNDLE / LEVELS, -128 * BUNDLE / LEVELS)
        cv2.scaleAdd(granule, GRANULE, weave, dst=weave)
        in_cell *= np.float32(WITHIN - 1)
        in_cell += 1
        weave *= in_cell
        weave += 1
        weave *= full
        cv2.max(weave, 0.0, dst=weave)  # type: ignore[call-overload]
        haematoxylin = haem_level.band(rows)
        haematoxylin *= weave
        saffron = saffron_level.band(rows) * weave if saffron_level is not None else None
        tone = body.astype(np.float32)
        tone *= np.float32(1 / TONE)
        if muscle is not None and muscle.bytes[rows].any():
            there = np.flatnonzero(muscle.bytes[rows].any(axis=0))
            wide = slice(there[0], there[-1] + 1)
            lines_px, columns_px = np.arange(rows.start, rows.stop) + top, np.arange(wide.start, wide.stop) + left
            striped = muscle_bands(angle=ground.muscle_angle, rows=lines_px, columns=columns_px, mpp=mpp)
            share, old = muscle.band(rows)[:, wide], weave[:, wide]
            old += share * (striped * (1 + np.float32(0.04) * granule[:, wide]) - old) * (full[:, wide] > 0)
            np.maximum(tone[:, wide], share, out=tone[:, wide])
        if dead is not None and dead.bytes[rows].any():  # smudged and granular, with specks of old chromatin
            share = dead.band(rows)
            smudged = (1 + np.float32(0.05 / LEVELS) * fibril + np.float32(0.19) * granule) * full
            weave += share * (np.maximum(smudged, 0) - weave)
            cv2.max(tone, share, dst=tone)
            haematoxylin += share * np.maximum(granule - np.float32(1.9), 0) * np.float32(0.35)
        eosin = eosin_level.band(rows)
        eosin *= weave
        eosin *= tone
        haematoxylin *= tone
        if strokes.web is not None:
            eosin += strokes.web[rows] * np.float32(0.36 / 255) * (full > 0.5)
        _put_vessels(strokes.vessels, rows, eosin=eosin, haematoxylin=haematoxylin, saffron=saffron, weave=weave)
        drawn = strokes.nuclei[rows]
        nuclear, covered = drawn.astype(np.float32), (drawn > COVERING).astype(np.float32)
        grain = granule * np.float32(CHROMATIN / UNIT)
        grain += np.float32(1 / UNIT)
        cv2.max(grain, 0.4 / UNIT, dst=grain)  # type: ignore[call-overload]
        nuclear *= grain  # type: ignore[call-overload]
        cv2.max(haematoxylin, nuclear, dst=haematoxylin)
        eosin *= 1 - np.float32(0.5) * covered
        cv2.scaleAdd(covered, NUCLEAR_EOSIN, eosin, dst=eosin)
        picture[rows] = dyes.light(haematoxylin, eosin=eosin, saffron=saffron)
    return picture


@dataclass(frozen=True)
class Level:
    """An amount at each pixel, kept in `bytes` (h, w) that stand for `low` + byte · `step`: a quarter of the memory."""

    bytes: np.ndarray
    low: float
    step: float

    def band(self, rows: slice) -> np.ndarray:
        """The amount in some rows, (n, w) float32."""
        amount = self.bytes[rows].astype(np.float32)
        amount *= np.float32(self.step)
        if self.low:
            amount += np.float32(self.low)
        return amount


def _spread(layout: Layout, *, levels: tuple[float, ...], by: np.ndarray | float, shape: tuple[int, int]) -> Level:
    """Amount by region times `by` (coarse), borders blurred over a few µm."""
    low, high = min(0.0, *levels), max(levels) * 1.4
    coarse = gaussian_filter(np.array(levels, np.float32)[layout.region], 0.9) * by
    packed = np.clip(np.rint((coarse - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    return Level(cv2.resize(packed, shape[::-1], interpolation=cv2.INTER_LINEAR), low, (high - low) / 255)


def _share(layout: Layout, *, region: int, shape: tuple[int, int]) -> Level | None:
    """How much each pixel belongs to a region, 0 to 1; None if none does."""
    mask = layout.region == region
    return Level(cv2.resize(mask * np.uint8(255), shape[::-1]), 0.0, 1 / 255) if mask.any() else None


def _put_vessels(
    vessels: Vessels,
    rows: slice,
    *,
    eosin: np.ndarray,
    haematoxylin: np.ndarray,
    saffron: np.ndarray | None,
    weave: np.ndarray,
) -> None:
    """Put walls, lumina and blood into the amounts of a band, in place."""
    part = vessels.part[rows]
    if not part.any():
        return
    wall, lumen = part == WALL, part == LUMEN
    blood = vessels.blood[rows][lumen] * np.float32(1 / 255)
    eosin[wall] = 0.14 + 0.24 * weave[wall]
    eosin[lumen], haematoxylin[lumen] = 0.05 + 0.52 * blood, 0.0
    if saffron is not None:
        saffron[wall], saffron[lumen] = 0.14, 0.22 * blood


def _direction(
    layout: Layout, *, shape: tuple[int, int], mpp: float, ground: Ground, origin_px: tuple[int, int]
) -> np.ndarray:
    """Step of direction of the fibres at each pixel, (h, w) uint8; borders between bundles are frayed."""
    steps = (np.rint(layout.angle * (DIRECTIONS / np.pi)).astype(np.int32) % DIRECTIONS).astype(np.uint8)  # coarse
    fine = (-(-shape[0] // 2), -(-shape[1] // 2))  # pairs of pixels
    stamp = np.rint(chromatin(mpp) * (0.45 * 256)) / 256  # in parts that add up without rounding
    stamp = stamp.astype(np.float32)
    maps = []
    for axis, (form, fray) in enumerate(zip(((-1, 1), (1, -1)), ground.frays, strict=True)):
        origin = (fray[0] - origin_px[1] // 2, fray[1] - origin_px[0] // 2)
        shift = looked_at(stamp, width=fine[1], origin=origin)[np.arange(fine[0]) & (SIDE - 1)]
        place = np.arange(fine[axis], dtype=np.float32) * np.float32(2 * mpp / GRID_UM)
        place += np.float32(2.0**-10 - 0.5)  # remap rounds; never from the middle between two cells
        shift += place.reshape(form)
        maps.append(shift)
    chosen = cv2.remap(steps, maps[1], maps[0], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(chosen, (2 * fine[1], 2 * fine[0]), interpolation=cv2.INTER_NEAREST)[: shape[0], : shape[1]]
