"""A slide painted from its layout and nuclei, in amounts of haematoxylin, eosin and saffron per pixel.

Everything is painted band by band, in bands that stay in the processor's cache: fibres are looked up in textures by
their direction, cell bodies and nuclei are drawn as outlines, and the stains' amounts follow from both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from sarcnet.compendium.seeds import rng
from sarcnet.virtual.adipose import against_walls, draw_web, fat_web, muscle_bands
from sarcnet.virtual.artefacts import BLANK, Artefact, torn, without_torn
from sarcnet.virtual.centres import Scanner
from sarcnet.virtual.layout import (
    GLASS,
    GRID_UM,
    MUSCLE,
    MYXOID,
    NECROSIS,
    REGIONS,
    TUMOUR,
    Layout,
    lay_out,
    smooth_noise,
)
from sarcnet.virtual.nuclei import Look, place_nuclei
from sarcnet.virtual.stain import Dyes, optics
from sarcnet.virtual.strokes import TONE, UNIT, draw_bodies, draw_nuclei
from sarcnet.virtual.textures import DIRECTIONS, LEVELS, SIDE, chromatin, fibres, looked_at
from sarcnet.virtual.vessels import LUMEN, WALL, Vessels, draw_vessels

ROWS = 64
# Amounts by region, in the order of REGIONS. Where there is saffron, collagen takes it up instead of eosin.
EOSIN = (0.0, 0.31, 0.40, 0.11, 0.39, 0.0, 0.40, 0.10, 0.2)
EOSIN_BESIDE_SAFFRON = (0.0, 0.30, 0.24, 0.11, 0.38, 0.0, 0.42, 0.10, 0.2)
HAEMATOXYLIN = (0.0, 0.085, 0.02, 0.090, 0.060, 0.0, 0.02, 0.06, 0.02)
SAFFRON = (0.0, 0.05, 0.34, 0.03, 0.05, 0.01, 0.03, 0.06, 0.1)
CLEFT = (-9.0, -1.7, -0.85, -1.6, -2.3, -9.0, -9.0, -1.4, -9.0)  # bundles paler than this are empty space
SHARPNESS = 16.0  # bytes of texture from tissue to empty space
FIBRIL, BUNDLE, GRANULE = 0.22, 0.20, 0.16  # deviation of eosin, relative, between cells
WITHIN = 0.55  # the same within a cell body, as a share
CHROMATIN = 0.27  # deviation of haematoxylin within a nucleus, relative
NUCLEAR_EOSIN = 0.13
BETWEEN_CELLS = 0.72  # eosin between cell bodies against that in them
SPINDLE = (1.7, 3.6, 2.4, 3.2, 1.5, 1.8)  # length / width of cell bodies, by histotype


@dataclass(frozen=True)
class Slide:
    """`picture` (h, w, 3) uint8 RGB; `nuclei` with positions in µm from the top left; `layout` of the regions, in which
    vessels are marked and what a tear took away is glass."""

    picture: np.ndarray
    nuclei: pd.DataFrame
    layout: Layout

    def truth(self) -> pd.DataFrame:
        """What is kept beside the slide: x_um, y_um, area_um2, class, region."""
        table = self.nuclei[["x_um", "y_um", "area_um2", "class"]].round(2)
        table["class"] = table["class"].astype(str)
        return table.assign(region=np.asarray(REGIONS)[self.nuclei["region"].to_numpy()])


def render_slide(
    seed: int,
    *,
    slide_id: str,
    look: Look,
    scanner: Scanner,
    width_um: float,
    height_um: float,
    artefact: Artefact | None = None,
    stain_strength: float = 1.0,
) -> Slide:
    """Paint one slide. The same arguments give the same pixels; an artefact changes none away from itself."""
    placing, filling, painting = rng(seed, "slide", slide_id).spawn(3)  # so that a knob moves nothing but its own
    layout = lay_out(
        placing, histotype=look.histotype, necrosis=look.necrosis_fraction, width_um=width_um, height_um=height_um
    )
    nuclei = place_nuclei(filling, layout=layout, look=look)
    if artefact is not None and artefact.kind == BLANK:
        layout, nuclei = layout.without_tissue(), nuclei.iloc[:0]
    return paint(
        painting,
        layout=layout,
        nuclei=nuclei,
        histotype=look.histotype,
        scanner=scanner,
        width_um=width_um,
        height_um=height_um,
        artefact=artefact,
        stain_strength=stain_strength,
    )


def paint(
    generator: np.random.Generator,
    *,
    layout: Layout,
    nuclei: pd.DataFrame,
    histotype: int,
    scanner: Scanner,
    width_um: float,
    height_um: float,
    artefact: Artefact | None = None,
    stain_strength: float = 1.0,
) -> Slide:
    """Lay fibres, cells, fat, vessels and nuclei over each other and scan the result."""
    mpp, shape = scanner.mpp, (round(height_um / scanner.mpp), round(width_um / scanner.mpp))
    for_vessels, for_fat, for_bodies, for_nuclei, for_ground, for_noise = generator.spawn(6)
    vessels = draw_vessels(layout, shape=shape, mpp=mpp, generator=for_vessels)
    ends = fat_web(layout, generator=for_fat)
    nuclei = vessels.with_endothelium(against_walls(nuclei, ends=ends))
    alive = np.isin(layout.region, (TUMOUR, MYXOID))
    count = max(1, int(nuclei["class"].isin(["tumour", "mitosis"]).sum()))
    strokes = Strokes(
        nuclei=draw_nuclei(nuclei, shape=shape, mpp=mpp, generator=for_nuclei),
        bodies=draw_bodies(
            nuclei,
            shape=shape,
            mpp=mpp,
            spacing_um=float(np.sqrt(max(alive.sum(), 1) * GRID_UM**2 / count)),
            spindle=SPINDLE[histotype],
            generator=for_bodies,
        ),
        web=draw_web(ends, layout=layout, shape=shape, mpp=mpp),
        vessels=vessels,
    )
    light = _light(layout, strokes=strokes, scanner=scanner, strength=stain_strength, generator=for_ground)
    picture = optics(light, scanner=scanner, generator=for_noise, artefact=artefact)
    layout = replace(layout, region=vessels.mapped(layout.region))
    if artefact is not None and artefact.kind == "tear":
        nuclei = without_torn(nuclei, artefact=artefact, shape=shape, mpp=mpp)
        gone = torn(artefact, shape=shape, mpp=mpp, grid=layout.region.shape, grid_um=GRID_UM)
        layout = replace(layout, region=np.where(gone, GLASS, layout.region).astype(np.uint8))
    return Slide(picture, nuclei, layout)


@dataclass(frozen=True)
class Strokes:
    """What is drawn as outlines, each (h, w) uint8: nuclei, cell bodies, walls of fat cells; and the vessels."""

    nuclei: np.ndarray
    bodies: np.ndarray
    web: np.ndarray | None
    vessels: Vessels


def _light(
    layout: Layout, *, strokes: Strokes, scanner: Scanner, strength: float, generator: np.random.Generator
) -> np.ndarray:
    """What comes through the slide, (h, w, 3) uint8."""
    shape, mpp = strokes.nuclei.shape, scanner.mpp
    dyes = Dyes.of(scanner, batch=np.exp(np.array([0.07, 0.09, 0.12]) * generator.standard_normal(3)) * strength)
    thickness = 1 + 0.06 * smooth_noise(generator, shape=layout.region.shape, cells=60)
    origin = tuple(int(o) for o in generator.integers(SIDE, size=2))
    direction = _direction(layout, shape=shape, mpp=mpp, generator=generator)
    grains = looked_at(chromatin(mpp), width=shape[1], origin=(origin[1], origin[0]))
    eosin_level = _spread(layout, levels=EOSIN_BESIDE_SAFFRON if dyes.saffron else EOSIN, by=thickness, shape=shape)
    haem_level = _spread(layout, levels=HAEMATOXYLIN, by=thickness, shape=shape)
    saffron_level = _spread(layout, levels=SAFFRON, by=thickness, shape=shape) if dyes.saffron else None
    cleft_level = _spread(layout, levels=tuple(128 + LEVELS * z for z in CLEFT), by=1.0, shape=shape)
    tissue = cv2.resize(layout.tissue.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    muscle, dead = (_share(layout, region=region, shape=shape) for region in (MUSCLE, NECROSIS))
    table, columns = fibres(mpp), ((np.arange(shape[1]) + origin[1]) & (SIDE - 1)).astype(np.int32)
    picture = np.empty((*shape, 3), np.uint8)
    for top in range(0, shape[0], ROWS):
        rows = slice(top, min(top + ROWS, shape[0]))
        lines = ((np.arange(rows.start, rows.stop) + origin[0]) & (SIDE - 1)).astype(np.int32)
        place = direction[rows].astype(np.int32) * np.int32(SIDE * SIDE)
        place += lines[:, None] * np.int32(SIDE)
        place += columns
        both = np.take(table, place)  # (rows, w)
        bundle = (both >> 8).astype(np.float32)
        fibril = (both & 255).astype(np.float32)
        fibril -= 128
        granule = grains[np.arange(rows.start, rows.stop) & (SIDE - 1)]
        body = strokes.bodies[rows]
        in_cell = (body > 0).astype(np.float32)
        full = np.clip((bundle - cleft_level[rows]) * np.float32(1 / SHARPNESS), 0, 1)
        np.maximum(full, np.float32(0.75) * in_cell, out=full)
        full *= np.clip((tissue[rows] + np.float32(0.0025 / LEVELS) * fibril) * 60 + np.float32(0.5), 0, 1)
        weave = np.float32(FIBRIL / LEVELS) * fibril
        weave += np.float32(BUNDLE / LEVELS) * (bundle - 128)
        weave += np.float32(GRANULE) * granule
        weave *= 1 - np.float32(1 - WITHIN) * in_cell
        weave += 1
        weave *= full
        np.maximum(weave, 0, out=weave)
        haematoxylin = haem_level[rows] * weave
        saffron = saffron_level[rows] * weave if saffron_level is not None else None
        tone = _TONES[body]
        if muscle is not None and (share := muscle[rows]).any():
            striped = muscle_bands(layout, rows=rows, width=shape[1], mpp=mpp)
            weave += share * (striped * (1 + np.float32(0.04) * granule) - weave) * (full > 0)
            tone = np.maximum(tone, share)
        if dead is not None and (share := dead[rows]).any():  # smudged and granular, with specks of old chromatin
            smudged = (1 + np.float32(0.05 / LEVELS) * fibril + np.float32(0.19) * granule) * full
            weave += share * (np.maximum(smudged, 0) - weave)
            tone = np.maximum(tone, share)
            haematoxylin += share * np.maximum(granule - np.float32(1.9), 0) * np.float32(0.35)
        eosin = eosin_level[rows] * weave
        eosin *= tone
        haematoxylin *= tone
        if strokes.web is not None:
            eosin += strokes.web[rows] * np.float32(0.36 / 255) * (full > 0.5)
        _vessels(strokes.vessels, rows, eosin=eosin, haematoxylin=haematoxylin, saffron=saffron, weave=weave)
        nuclear = strokes.nuclei[rows] * np.float32(1 / UNIT)
        covered = (nuclear > np.float32(0.02)).astype(np.float32)
        nuclear *= np.maximum(1 + np.float32(CHROMATIN) * granule, np.float32(0.4))
        np.maximum(haematoxylin, nuclear, out=haematoxylin)
        eosin *= 1 - np.float32(0.5) * covered
        eosin += np.float32(NUCLEAR_EOSIN) * covered
        picture[rows] = dyes.light(haematoxylin, eosin=eosin, saffron=saffron)
    return picture


# Eosin by the byte of the cell body; its border is a little paler than what lies between cells.
_TONES = np.where(np.arange(256) > 0, np.maximum(np.arange(256) / TONE, 0.58), BETWEEN_CELLS).astype(np.float32)


def _share(layout: Layout, *, region: int, shape: tuple[int, int]) -> np.ndarray | None:
    """How much each pixel belongs to a region, (h, w) float32 in 0..1; None if none does."""
    mask = layout.region == region
    return cv2.resize(mask.astype(np.float32), shape[::-1]) if mask.any() else None


def _vessels(
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


def _spread(layout: Layout, *, levels: tuple[float, ...], by: np.ndarray | float, shape: tuple[int, int]) -> np.ndarray:
    """Amount by region times `by` (coarse), borders blurred over a few µm, at full resolution (h, w)."""
    coarse = gaussian_filter(np.array(levels, np.float32)[layout.region], 0.9) * by
    return cv2.resize(coarse.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)


def _direction(layout: Layout, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator) -> np.ndarray:
    """Step of direction of the fibres at each pixel, (h, w) uint8; borders between bundles are frayed."""
    steps = (np.rint(layout.angle * (DIRECTIONS / np.pi)).astype(np.int32) % DIRECTIONS).astype(np.uint8)  # coarse
    fine = (-(-shape[0] // 2), -(-shape[1] // 2))  # pairs of pixels
    stamp = chromatin(mpp)
    y, x = (
        (np.arange(n, dtype=np.float32) * np.float32(2 * mpp / GRID_UM)).reshape(form)
        for n, form in zip(fine, ((-1, 1), (1, -1)), strict=True)
    )
    frayed = []
    for axis, place in enumerate((y, x)):
        shift = looked_at(stamp, width=fine[1], origin=tuple(generator.integers(SIDE, size=2)))
        shift = shift[np.arange(fine[0]) & (SIDE - 1)] * np.float32(0.45)
        frayed.append(np.clip((place + shift).astype(np.int32), 0, steps.shape[axis] - 1))
    chosen = steps[frayed[0], frayed[1]]
    return cv2.resize(chosen, (2 * fine[1], 2 * fine[0]), interpolation=cv2.INTER_NEAREST)[: shape[0], : shape[1]]
