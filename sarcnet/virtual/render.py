"""A slide painted from its layout and nuclei, in amounts of haematoxylin, eosin and saffron per pixel."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sarcnet.compendium.seeds import rng
from sarcnet.virtual.centres import Scanner
from sarcnet.virtual.layout import FAT, GRID_UM, REGIONS, SEPTUM, Layout, enlarge, lay_out, smooth_noise
from sarcnet.virtual.nuclei import CLASSES, Look, draw_nuclei, place_nuclei
from sarcnet.virtual.stain import scan

STAMP = 1024  # side of the grain textures, a power of two
# Amounts by region (glass, tumour, septum, myxoid, necrosis, fat): level, and strength of the grain.
EOSIN = ((0.0, 0.0), (0.30, 0.10), (0.36, 0.13), (0.13, 0.06), (0.44, 0.07), (0.02, 0.0))
HAEMATOXYLIN = ((0.0, 0.0), (0.07, 0.02), (0.02, 0.0), (0.085, 0.02), (0.05, 0.03), (0.0, 0.0))
SAFFRON = ((0.0, 0.0), (0.07, 0.04), (0.42, 0.16), (0.03, 0.01), (0.05, 0.02), (0.01, 0.0))


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


def render_slide(seed: int, *, slide_id: str, look: Look, scanner: Scanner, width_um: float, height_um: float) -> Slide:
    """Paint one slide. The same arguments give the same pixels."""
    generator = rng(seed, "slide", slide_id)
    layout = lay_out(
        generator, histotype=look.histotype, necrosis=look.necrosis_fraction, width_um=width_um, height_um=height_um
    )
    nuclei = place_nuclei(generator, layout=layout, look=look)
    return paint(generator, layout=layout, nuclei=nuclei, scanner=scanner, width_um=width_um, height_um=height_um)


def paint(
    generator: np.random.Generator,
    *,
    layout: Layout,
    nuclei: pd.DataFrame,
    scanner: Scanner,
    width_um: float,
    height_um: float,
) -> Slide:
    """Lay grain, fat, vessels and nuclei over each other and scan the result."""
    mpp = scanner.mpp
    shape = (round(height_um / mpp), round(width_um / mpp))
    grain = _grain(layout, shape=shape, mpp=mpp, generator=generator)  # (h, w), deviation 1
    edge = enlarge(layout.tissue, shape=shape, smooth=True) + 0.006 * grain
    inside = np.clip(edge * 60 + 0.5, 0, 1)
    eosin, haematoxylin, saffron = (
        (
            _spread(layout, amounts=levels, shape=shape, part=0)
            + _spread(layout, amounts=levels, shape=shape, part=1) * grain
        )
        for levels in (EOSIN, HAEMATOXYLIN, SAFFRON)
    )
    if (layout.region == FAT).any():
        eosin += _fat_membranes(layout, shape=shape, generator=generator)
    vessels = _vessels(layout, shape=shape, mpp=mpp, generator=generator)
    lumen, wall, blood = vessels.masks
    eosin = np.where(wall > 0, 0.34 + 0.05 * grain, eosin)
    saffron = np.where(wall > 0, 0.25, saffron)
    eosin = np.where(lumen > 0, 0.75 * blood, eosin)
    saffron, haematoxylin = np.where(lumen > 0, 0.25 * blood, saffron), np.where(lumen > 0, 0.0, haematoxylin)
    nuclei = vessels.without_covered(nuclei)
    stained = draw_nuclei(nuclei, shape=shape, mpp=mpp, generator=generator)
    chromatin = _stamped(_chromatin(mpp), shape=shape, generator=generator)
    covered = stained > 0
    haematoxylin = np.where(covered, np.maximum(stained * (1 + 0.22 * chromatin), 0.04), haematoxylin)
    eosin = np.where(covered, 0.55 * eosin, eosin)
    thickness = inside * (1 + 0.05 * enlarge(smooth_noise(generator, shape=layout.region.shape, cells=60), shape=shape))
    dye = np.exp(np.array([0.07, 0.09, 0.12]) * generator.standard_normal(3))  # this slide's staining batch
    amounts = tuple(np.maximum(a * thickness, 0).astype(np.float32) for a in (haematoxylin, eosin, saffron))
    picture = scan((amounts[0], amounts[1], amounts[2]), scanner=scanner, dye=dye, generator=generator)
    return Slide(picture, nuclei, layout)


def _spread(
    layout: Layout, *, amounts: tuple[tuple[float, float], ...], shape: tuple[int, int], part: int
) -> np.ndarray:
    """Amount by region, borders blurred over a few µm, at full resolution (h, w)."""
    levels = np.array([pair[part] for pair in amounts], np.float32)
    return enlarge(gaussian_filter(levels[layout.region], 1.2), shape=shape)


@functools.lru_cache(maxsize=4)
def _fibres(mpp: float) -> np.ndarray:
    """Periodic noise (STAMP, STAMP), deviation 1, drawn out along its rows: fibres about 30 µm long, 1.5 µm thick."""
    noise = rng(0, "grain of fibres").standard_normal((STAMP, STAMP)).astype(np.float32)
    fine = gaussian_filter(noise, (0.55 / mpp, 11 / mpp), mode="wrap")
    coarse = gaussian_filter(noise[::-1], (2.2 / mpp, 22 / mpp), mode="wrap")
    both = fine / fine.std() + 0.8 * coarse / coarse.std()
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
    """Fibre texture along each cell's direction, or out from its centre, slightly wavy, (h, w)."""
    scale = GRID_UM / mpp  # px per coarse cell
    jitter = generator.integers(-5, 6, (2, 64, 64))
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    dy, dx = (j[(rows & 63)[:, None], (columns & 63)[None, :]] for j in jitter)
    gy = np.clip(((rows[:, None] + dy) / scale).astype(np.int32), 0, layout.cell.shape[0] - 1)
    gx = np.clip(((columns[None, :] + dx) / scale).astype(np.int32), 0, layout.cell.shape[1] - 1)
    cell = layout.cell[gy, gx]  # (h, w)
    wave = enlarge(smooth_noise(generator, shape=layout.cell.shape, cells=7), shape=shape, smooth=True) * (3.0 / mpp)
    x = columns[None, :].astype(np.float32) - (layout.centre[:, 0] / mpp).astype(np.float32)[cell]
    y = rows[:, None].astype(np.float32) - (layout.centre[:, 1] / mpp).astype(np.float32)[cell]
    if layout.storiform:
        along, across = np.hypot(x, y), np.arctan2(y, x) * np.float32(55 / mpp)
    else:
        cos, sin = (f(layout.angle).astype(np.float32)[cell] for f in (np.cos, np.sin))
        along, across = x * cos + y * sin, y * cos - x * sin
    offset = generator.integers(STAMP, size=len(layout.centre)).astype(np.int32)[cell]
    u = (along.astype(np.int32) + offset) & (STAMP - 1)
    v = ((across + wave).astype(np.int32) + offset) & (STAMP - 1)
    return _fibres(mpp)[v, u]


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


@dataclass(frozen=True)
class _Vessels:
    """Masks (h, w): lumen, wall, blood (0..1); `rings` (x, y, rx, ry) in µm of the outer walls."""

    masks: tuple[np.ndarray, np.ndarray, np.ndarray]
    rings: np.ndarray
    endothelium: pd.DataFrame

    def without_covered(self, nuclei: pd.DataFrame) -> pd.DataFrame:
        """Nuclei outside of every vessel, and the vessels' own."""
        free = np.ones(len(nuclei), bool)
        x, y = nuclei["x_um"].to_numpy(), nuclei["y_um"].to_numpy()
        for cx, cy, rx, ry in self.rings:
            free &= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 > 1
        return pd.concat([nuclei[free], self.endothelium], ignore_index=True)


def _vessels(layout: Layout, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator) -> _Vessels:
    """Small vessels, more of them in septa: a wall, endothelium along it, some red cells inside."""
    area_mm2 = layout.region.size * GRID_UM**2 * 1e-6
    spots = np.argwhere(layout.tissue > 0.06)
    wanted = int(generator.poisson(14 * area_mm2)) if len(spots) else 0
    weight = np.where(layout.region[tuple(spots.T)] == SEPTUM, 6.0, 1.0) if wanted else np.ones(0)
    chosen = generator.choice(len(spots), size=wanted, p=weight / weight.sum()) if wanted else np.zeros(0, int)
    images = [Image.new("L", (shape[1], shape[0]), 0) for _ in range(3)]
    lumen, wall, blood = (ImageDraw.Draw(image) for image in images)
    rings, cells = [], []
    for gy, gx in spots[chosen]:
        cx, cy = (gx + 0.5) * GRID_UM, (gy + 0.5) * GRID_UM
        rx, ry = np.exp(generator.normal(np.log(11), 0.45)), np.exp(generator.normal(np.log(9), 0.4))
        thick = 2.5 + 0.18 * (rx + ry) / 2
        region = int(layout.region[gy, gx])
        _ellipse(wall, cx, cy, rx + thick, ry + thick, mpp, 255)
        _ellipse(lumen, cx, cy, rx, ry, mpp, 255)
        for _ in range(int(generator.integers(0, 2 + rx * ry / 18))):
            turn, out = generator.uniform(0, 2 * np.pi), np.sqrt(generator.random()) * 0.7
            _ellipse(blood, cx + out * rx * np.cos(turn), cy + out * ry * np.sin(turn), 3.3, 2.9, mpp, 220)
        rings.append((cx, cy, rx + thick, ry + thick))
        for turn in np.arange(0, 2 * np.pi, 14 / np.sqrt(rx * ry)) + generator.uniform(0, 1):
            cells.append((cx + (rx + 1) * np.cos(turn), cy + (ry + 1) * np.sin(turn), turn + np.pi / 2, region))
    masks = tuple(np.asarray(image, np.float32) / 255 for image in images)
    frame = np.array(cells).reshape(-1, 4)
    endothelium = pd.DataFrame({"x_um": frame[:, 0], "y_um": frame[:, 1], "area_um2": 26.0, "aspect": 3.2})
    endothelium = endothelium.assign(angle=frame[:, 2], amount=0.62, region=frame[:, 3].astype(np.uint8))
    endothelium["class"] = pd.Categorical(["endothelium"] * len(endothelium), list(CLASSES))
    return _Vessels((masks[0], masks[1], masks[2]), np.array(rings).reshape(-1, 4), endothelium)


def _ellipse(pen: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, mpp: float, fill: int) -> None:
    pen.ellipse(((x - rx) / mpp, (y - ry) / mpp, (x + rx) / mpp, (y + ry) / mpp), fill=fill)
