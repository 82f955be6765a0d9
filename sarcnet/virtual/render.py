"""A slide painted from its layout and nuclei, in amounts of haematoxylin, eosin and saffron per pixel."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sarcnet.compendium.seeds import rng
from sarcnet.virtual.artefacts import BLANK, Artefact, without_torn
from sarcnet.virtual.centres import Scanner
from sarcnet.virtual.layout import FAT, GRID_UM, REGIONS, Layout, enlarge, lay_out, smooth_noise
from sarcnet.virtual.nuclei import Look, draw_nuclei, place_nuclei
from sarcnet.virtual.stain import ROWS, scan
from sarcnet.virtual.vessels import draw_vessels

STAMP = 1024  # side of the grain textures, a power of two
# Amounts by region: glass, tumour, septum, myxoid, necrosis, fat. Where there is saffron, collagen takes it up instead.
EOSIN = (0.0, 0.27, 0.34, 0.10, 0.40, 0.02)
EOSIN_BESIDE_SAFFRON = (0.0, 0.26, 0.20, 0.10, 0.38, 0.02)
HAEMATOXYLIN = (0.0, 0.055, 0.02, 0.075, 0.045, 0.0)
SAFFRON = (0.0, 0.05, 0.30, 0.03, 0.05, 0.01)
GRAIN = 0.27  # deviation of eosin from fibre to fibre, relative
CYTOPLASM = 0.10  # likewise from granule to granule


@dataclass(frozen=True)
class Slide:
    """`picture` (h, w, 3) uint8 RGB; `nuclei` with positions in µm from the top left; `layout` of the regions."""

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
    scanner: Scanner,
    width_um: float,
    height_um: float,
    artefact: Artefact | None = None,
    stain_strength: float = 1.0,
) -> Slide:
    """Lay grain, fat, vessels and nuclei over each other and scan the result."""
    mpp, saffron_used = scanner.mpp, any(scanner.saffron)
    shape = (round(height_um / mpp), round(width_um / mpp))
    grain = _grain(layout, shape=shape, mpp=mpp, generator=generator)  # (h, w), deviation 1
    chromatin = _stamped(_chromatin(mpp), shape=shape, generator=generator)  # (h, w), deviation 1
    inside = enlarge(layout.tissue, shape=shape, smooth=True)
    inside = np.clip((inside + np.float32(0.006) * grain) * 60 + np.float32(0.5), 0, 1)
    thickness = 1 + 0.06 * smooth_noise(generator, shape=layout.region.shape, cells=60)
    weave = np.float32(GRAIN) * grain
    weave += np.float32(CYTOPLASM) * chromatin
    weave += 1
    np.maximum(weave, 0, out=weave)
    weave *= inside
    eosin = weave * _spread(layout, levels=EOSIN_BESIDE_SAFFRON if saffron_used else EOSIN, by=thickness, shape=shape)
    haematoxylin = _spread(layout, levels=HAEMATOXYLIN, by=thickness, shape=shape) * inside
    saffron = weave * _spread(layout, levels=SAFFRON, by=thickness, shape=shape) if saffron_used else None
    if (layout.region == FAT).any():
        eosin += _fat_membranes(layout, shape=shape, generator=generator) * inside
    vessels = draw_vessels(layout, shape=shape, mpp=mpp, generator=generator)
    vessels.stain(eosin, haematoxylin=haematoxylin, saffron=saffron)
    nuclei = vessels.with_endothelium(nuclei)
    stained = draw_nuclei(nuclei, shape=shape, mpp=mpp, generator=generator)
    covered = np.flatnonzero(stained > 0)  # pixels under a nucleus
    texture = np.maximum(1 + np.float32(0.22) * chromatin.ravel()[covered], 0.15)
    haematoxylin.ravel()[covered] = stained.ravel()[covered] * texture
    eosin.ravel()[covered] *= np.float32(0.55)
    dye = np.exp(np.array([0.07, 0.09, 0.12]) * generator.standard_normal(3)) * stain_strength  # this slide's batch
    picture = scan((haematoxylin, eosin, saffron), scanner=scanner, dye=dye, generator=generator, artefact=artefact)
    if artefact is not None and artefact.kind == "tear":
        nuclei = without_torn(nuclei, artefact=artefact, shape=shape, mpp=mpp)
    return Slide(picture, nuclei, layout)


def _spread(layout: Layout, *, levels: tuple[float, ...], by: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Amount by region times `by` (coarse), borders blurred over a few µm, at full resolution (h, w)."""
    coarse = gaussian_filter(np.array(levels, np.float32)[layout.region], 1.2) * by
    return enlarge(np.maximum(coarse, 0), shape=shape).copy()


@functools.lru_cache(maxsize=4)
def _fibres(mpp: float) -> np.ndarray:
    """Periodic noise (STAMP, STAMP), deviation 1, drawn out along its rows: fibres about 20 µm long, 1.5 µm thick."""
    noise = rng(0, "grain of fibres").standard_normal((STAMP, STAMP)).astype(np.float32)
    fine = gaussian_filter(noise, (0.55 / mpp, 7 / mpp), mode="wrap")
    coarse = gaussian_filter(noise[::-1], (1.9 / mpp, 13 / mpp), mode="wrap")
    both = fine / fine.std() + 0.7 * coarse / coarse.std()
    return (both / both.std()).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _chromatin(mpp: float) -> np.ndarray:
    """Periodic noise (STAMP, STAMP), deviation 1, in clumps of about 1 µm."""
    noise = gaussian_filter(
        rng(0, "chromatin").standard_normal((STAMP, STAMP)).astype(np.float32), 0.5 / mpp, mode="wrap"
    )
    return (noise / noise.std()).astype(np.float32)


def _stamped(stamp: np.ndarray, *, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A periodic stamp repeated over (h, w) from a random origin."""
    rows = (np.arange(shape[0]) + int(generator.integers(STAMP))) & (STAMP - 1)
    columns = (np.arange(shape[1]) + int(generator.integers(STAMP))) & (STAMP - 1)
    return stamp[rows[:, None], columns[None, :]]


def _grain(layout: Layout, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator) -> np.ndarray:
    """Fibre texture along each cell's direction, or turning around its centre, slightly wavy, (h, w)."""
    coarse = layout.cell.shape
    cell = layout.cell  # coarse (h, w)
    gy, gx = np.mgrid[: coarse[0], : coarse[1]] * GRID_UM
    x, y = gx - layout.centre[cell, 0], gy - layout.centre[cell, 1]  # µm from the cell's centre
    cos, sin = np.cos(layout.angle)[cell], np.sin(layout.angle)[cell]
    along, across = x * cos + y * sin, y * cos - x * sin
    if layout.storiform:  # arms that leave the centre in curves: the cartwheel
        radius = np.hypot(x, y)
        across = 0.55 * across + 30 * np.sin(2 * np.arctan2(y, x) + radius / 45)
    across = across + 3.5 * smooth_noise(generator, shape=coarse, cells=7) + 61.0 * cell
    u, v = (enlarge(f / mpp + 64 * STAMP, shape=shape) for f in (along, across))
    fibres, grain = _fibres(mpp).ravel(), np.empty(shape, np.float32)
    for top in range(0, shape[0], ROWS):
        row = (v[top : top + ROWS].astype(np.int32) & (STAMP - 1)) * STAMP
        np.take(fibres, row + (u[top : top + ROWS].astype(np.int32) & (STAMP - 1)), out=grain[top : top + ROWS])
    return grain


def _fat_membranes(layout: Layout, *, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Eosin of the thin walls between fat cells of about 70 µm, (h, w)."""
    step = GRID_UM / 2
    fine = (layout.region.shape[0] * 2, layout.region.shape[1] * 2)
    count = max(4, round(fine[0] * fine[1] * step**2 / 70**2))
    centres = generator.random((count, 2)) * (fine[1] * step, fine[0] * step)
    fat = np.kron(layout.region == FAT, np.ones((2, 2), bool))
    rows, columns = np.nonzero(fat)
    nearest = cKDTree(centres).query(np.column_stack([columns, rows]) * step, k=2)[0]
    walls = np.zeros(fine, np.float32)
    walls[rows, columns] = 0.30 * np.exp(-(((nearest[:, 1] - nearest[:, 0]) / 3.5) ** 2))
    return enlarge(walls, shape=shape)
