"""Where on the slide is what: regions on a coarse grid (4 µm), and the direction in which cells and fibres run.

Regions: glass, tumour, septum (collagen between tumour), myxoid, necrosis, fat, muscle, inflammation, vessel.
Heterogeneity: `vigour`, between 0 and 1, says how fully a place shows the patient's malignancy; `crowding` how the
tumour's nuclei are spread over it without changing their number; where one looks matters.

Patterns follow textbook descriptions (WHO Classification of Tumours, Soft Tissue and Bone, 5th ed. 2020): leiomyosarcoma
in long fascicles that meet at angles, some cut across; undifferentiated pleomorphic sarcoma in short, swirling bundles
(storiform); MPNST in waves of closely and loosely packed cells; myxofibrosarcoma in myxoid lobules between thin septa.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

GRID_UM = 4.0
GLASS, TUMOUR, SEPTUM, MYXOID, NECROSIS, FAT, MUSCLE, INFLAMMATION, VESSEL = range(9)
REGIONS = ("glass", "tumour", "septum", "myxoid", "necrosis", "fat", "muscle", "inflammation", "vessel")
# By histotype: share of tumour that is myxoid, size of a bundle in µm, how much it bends over its length.
MYXOID_SHARE = (0.06, 0.0, 0.62, 0.22, 0.05, 0.0)
BUNDLE_UM = (110.0, 300.0, 240.0, 230.0, 130.0, 150.0)
BEND = (1.3, 0.25, 0.7, 0.5, 0.9, 0.8)
CUT_ACROSS = (0.1, 0.3, 0.1, 0.15, 0.1, 0.15)  # share of bundles that run towards the eye
WAVES = (0.10, 0.06, 0.15, 0.55, 0.10, 0.10)  # radians by which fibres sway to and fro
BANDED = (0.0, 0.0, 0.15, 0.45, 0.0, 0.0)  # contrast of alternating cellularity


@dataclass(frozen=True)
class Layout:
    """Coarse maps (h, w) over the slide, row 0 at the top: `region` uint8, `vigour` float32 in 0..1, `tissue` float32
    (positive inside, in units of noise), `angle` float32 radians of the fibres, `lengthwise` float32 in 0..1 (0: the
    bundle is cut across), `crowding` float32 with mean 1 over the living tumour.
    """

    region: np.ndarray
    vigour: np.ndarray
    tissue: np.ndarray
    angle: np.ndarray
    lengthwise: np.ndarray
    crowding: np.ndarray

    def without_tissue(self) -> Layout:
        """The same slide when nothing was put on it."""
        return replace(self, region=np.full_like(self.region, GLASS), tissue=np.full_like(self.tissue, -1.0))


def smooth_noise(generator: np.random.Generator, *, shape: tuple[int, int], cells: float) -> np.ndarray:
    """Noise (h, w) float32 of mean 0 and deviation about 1 that changes over `cells` grid cells."""
    small = (max(3, round(shape[0] / cells) + 3), max(3, round(shape[1] / cells) + 3))
    coarse = generator.standard_normal(small).astype(np.float32)
    field = enlarge(coarse, shape=shape, smooth=True)
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def enlarge(field: np.ndarray, *, shape: tuple[int, int], smooth: bool = False) -> np.ndarray:
    """Interpolate (h, w) float32 to a larger (or smaller) `shape`."""
    way = Image.Resampling.BICUBIC if smooth else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(field.astype(np.float32)).resize((shape[1], shape[0]), way))


def lay_out(
    generator: np.random.Generator, *, histotype: int, necrosis: float, width_um: float, height_um: float
) -> Layout:
    """Draw the regions of one slide.

    Args:
        generator: of this slide.
        histotype: index into the schema's histotypes.
        necrosis: share of the tumour that is necrotic.
        width_um: of the slide. height_um: likewise.
    """
    shape = (max(8, round(height_um / GRID_UM)), max(8, round(width_um / GRID_UM)))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    across, down = 2 * x / (shape[1] - 1) - 1, 2 * y / (shape[0] - 1) - 1
    ragged = (
        smooth_noise(generator, shape=shape, cells=45) * 0.055 + smooth_noise(generator, shape=shape, cells=9) * 0.012
    )
    tissue = (0.93 + ragged - (np.abs(across) ** 5 + np.abs(down) ** 5) ** 0.2).astype(np.float32)
    region = _regions(generator, histotype=histotype, necrosis=necrosis, across=across, down=down)
    region[tissue <= 0] = GLASS
    vigour = 1 / (1 + np.exp(-1.6 * smooth_noise(generator, shape=shape, cells=55) - 0.8))
    angle, lengthwise = _bundles(generator, shape=shape, histotype=histotype)
    muscle = (region == MUSCLE) | (region == FAT)
    angle = np.where(muscle, np.float32(generator.uniform(0, np.pi)), angle)
    crowding = _crowding(generator, region=region, contrast=BANDED[histotype])
    return Layout(region, vigour.astype(np.float32), tissue, angle, np.where(muscle, 1, lengthwise), crowding)


def _regions(
    generator: np.random.Generator, *, histotype: int, necrosis: float, across: np.ndarray, down: np.ndarray
) -> np.ndarray:
    shape = across.shape
    region = np.full(shape, TUMOUR, np.uint8)
    region[_lowest(smooth_noise(generator, shape=shape, cells=40), share=MYXOID_SHARE[histotype])] = MYXOID
    dead = smooth_noise(generator, shape=shape, cells=50) + 0.25 * smooth_noise(generator, shape=shape, cells=8)
    region[_lowest(dead, share=necrosis)] = NECROSIS
    bands = np.abs(smooth_noise(generator, shape=shape, cells=70)) + 0.15 * smooth_noise(
        generator, shape=shape, cells=12
    )
    septum = _lowest(bands, share=float(generator.uniform(0.03, 0.09)))
    region[septum] = SEPTUM
    clusters = smooth_noise(generator, shape=shape, cells=11) - 0.03 * distance_transform_edt(~septum)
    region[_lowest(-clusters, share=max(0.0, float(generator.uniform(-0.006, 0.014))))] = INFLAMMATION
    side = generator.uniform(0, 2 * np.pi)
    towards = across * np.cos(side) + down * np.sin(side) + 0.25 * smooth_noise(generator, shape=shape, cells=35)
    region[_lowest(-towards, share=float(np.clip(generator.uniform(-0.10, 0.10), 0, 1)))] = FAT
    region[_lowest(towards, share=float(np.clip(generator.uniform(-0.12, 0.08), 0, 1)))] = MUSCLE
    return region


def _lowest(field: np.ndarray, *, share: float) -> np.ndarray:
    """The lowest `share` of a field as a mask."""
    return np.zeros(field.shape, bool) if share <= 0 else field <= np.quantile(field, min(share, 1.0))


def _bundles(
    generator: np.random.Generator, *, shape: tuple[int, int], histotype: int
) -> tuple[np.ndarray, np.ndarray]:
    """Direction of the fibres (h, w) in radians, and how much they run in the plane of the slide (h, w).

    Voronoi cells with warped borders; inside each, fibres follow parabolas of the cell's own direction and bend.
    """
    size_um = BUNDLE_UM[histotype]
    height, width = shape[0] * GRID_UM, shape[1] * GRID_UM
    count = max(4, round(height * width / size_um**2))
    centre = generator.random((count, 2)) * (width, height)
    y, x = np.mgrid[: shape[0], : shape[1]] * GRID_UM
    warp = [smooth_noise(generator, shape=shape, cells=12) * 0.13 * size_um for _ in range(2)]
    points = np.stack([x + warp[0], y + warp[1]], axis=-1)[::2, ::2]
    cell = cKDTree(centre).query(points)[1].repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    turn = generator.uniform(0, np.pi, count)
    along = (x - centre[cell, 0]) * np.cos(turn)[cell] + (y - centre[cell, 1]) * np.sin(turn)[cell]
    bend = BEND[histotype] * generator.choice([-1.0, 1.0], count) * generator.uniform(0.5, 1.3, count)
    phase = generator.uniform(0, 2 * np.pi, count)[cell]
    angle = turn[cell] + np.arctan(2 * bend[cell] * along / size_um)
    angle += WAVES[histotype] * np.sin(2 * np.pi * along / 85 + phase)
    angle += 0.12 * smooth_noise(generator, shape=shape, cells=6)
    lengthwise = (generator.random(count) >= CUT_ACROSS[histotype])[cell]
    return angle.astype(np.float32), lengthwise.astype(np.float32)


def _crowding(generator: np.random.Generator, *, region: np.ndarray, contrast: float) -> np.ndarray:
    """Bands of close and loose cells, on average 1 over the living tumour."""
    waves = smooth_noise(generator, shape=region.shape, cells=22) * 1.6
    field = 1 + contrast * np.sin(2.2 * waves)
    alive = (region == TUMOUR) | (region == MYXOID)
    return (field / (field[alive].mean() if alive.any() else 1.0)).astype(np.float32)
