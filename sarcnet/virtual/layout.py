"""Where on the slide is what: regions on a coarse grid (4 µm), and the fibre cells that give tissue its grain.

Regions: glass, tumour, septum (collagen between tumour), myxoid, necrosis, fat. Heterogeneity: `vigour`, between 0 and
1, says how fully a place shows the patient's malignancy; where one looks matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

GRID_UM = 4.0
GLASS, TUMOUR, SEPTUM, MYXOID, NECROSIS, FAT = range(6)
REGIONS = ("glass", "tumour", "septum", "myxoid", "necrosis", "fat")
# By histotype: share of tumour that is myxoid, fibre cell size in µm, storiform or not.
MYXOID_SHARE = (0.06, 0.0, 0.62, 0.22, 0.05, 0.0)
CELL_UM = (150.0, 330.0, 210.0, 260.0, 170.0, 170.0)
STORIFORM = (True, False, False, False, True, True)


@dataclass(frozen=True)
class Layout:
    """Coarse maps (h, w) over the slide, row 0 at the top: `region` uint8, `vigour` float32 in 0..1, `tissue` float32
    (positive inside, in units of noise), `cell` int32 index of the fibre cell. `centre` (c, 2) µm and `angle` (c,)
    radians of the fibre cells; `storiform`: fibres radiate from the cell's centre instead of running along the angle.
    """

    region: np.ndarray
    vigour: np.ndarray
    tissue: np.ndarray
    cell: np.ndarray
    centre: np.ndarray
    angle: np.ndarray
    storiform: bool

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
    region = np.full(shape, TUMOUR, np.uint8)
    region[_lowest(smooth_noise(generator, shape=shape, cells=40), share=MYXOID_SHARE[histotype])] = MYXOID
    dead = smooth_noise(generator, shape=shape, cells=50) + 0.25 * smooth_noise(generator, shape=shape, cells=8)
    region[_lowest(dead, share=necrosis)] = NECROSIS
    bands = np.abs(smooth_noise(generator, shape=shape, cells=70)) + 0.15 * smooth_noise(
        generator, shape=shape, cells=12
    )
    region[_lowest(bands, share=float(generator.uniform(0.04, 0.12)))] = SEPTUM
    side = generator.uniform(0, 2 * np.pi)
    towards = across * np.cos(side) + down * np.sin(side) + 0.25 * smooth_noise(generator, shape=shape, cells=35)
    region[_lowest(-towards, share=float(np.clip(generator.uniform(-0.10, 0.10), 0, 1)))] = FAT
    region[tissue <= 0] = GLASS
    vigour = 1 / (1 + np.exp(-1.6 * smooth_noise(generator, shape=shape, cells=55) - 0.8))
    cell, centre, angle = _fibre_cells(generator, shape=shape, size_um=CELL_UM[histotype])
    return Layout(region, vigour.astype(np.float32), tissue, cell, centre, angle, STORIFORM[histotype])


def _lowest(field: np.ndarray, *, share: float) -> np.ndarray:
    """The lowest `share` of a field as a mask."""
    return np.zeros(field.shape, bool) if share <= 0 else field <= np.quantile(field, min(share, 1.0))


def _fibre_cells(
    generator: np.random.Generator, *, shape: tuple[int, int], size_um: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells of about `size_um` with warped borders; neighbours differ in direction."""
    height, width = shape[0] * GRID_UM, shape[1] * GRID_UM
    count = max(4, round(height * width / size_um**2))
    centre = generator.random((count, 2)) * (width, height)
    y, x = np.mgrid[: shape[0], : shape[1]] * GRID_UM
    warp = [smooth_noise(generator, shape=shape, cells=12) * 0.13 * size_um for _ in range(2)]
    points = np.column_stack([(x + warp[0]).ravel(), (y + warp[1]).ravel()])
    cell = cKDTree(centre).query(points)[1].astype(np.int32).reshape(shape)
    return cell, centre, generator.uniform(0, np.pi, count)
