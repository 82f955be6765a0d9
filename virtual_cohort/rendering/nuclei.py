"""The nuclei of a slide: where they lie, how large, how dark, of which class.

Classes: tumour, mitosis, fibroblast, lymphocyte, endothelium, necrotic. Positions come from a jittered hexagonal grid
that is thinned to the wanted density, because nuclei keep a distance to each other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.layout import (
    FAT,
    GLASS,
    GRID_UM,
    INFLAMMATION,
    MUSCLE,
    MYXOID,
    NECROSIS,
    REGIONS,
    SEPTUM,
    TUMOUR,
    Layout,
)

CLASSES = ("tumour", "mitosis", "fibroblast", "lymphocyte", "endothelium", "necrotic")
ASPECT = (1.6, 3.4, 2.2, 3.0, 1.5, 1.6)  # length / width of tumour nuclei, by histotype
ALIGNED = (0.55, 0.18, 0.6, 0.25, 0.9, 0.7)  # deviation from the fibres, radians, by histotype
LYMPHOCYTES_PER_MM2 = 7500.0  # in a cluster
HPF10_MM2 = 1.734  # ten fields of 0.1734 mm², as the FNCLCC count is defined
VIGOUR_OF_DIVIDING = 1.20  # mean over the tumour of what makes the count of a place, see `mitotic_share`
GIANTS, GIANT_SIZE, GIANT_CV = 0.07, 4.2, 0.35  # how many giants, their area against the mean, its own variation
CALM_CV = 0.32  # up to this coefficient of variation there are no giants


def place_nuclei(generator: np.random.Generator, *, layout: Layout, look: Look) -> pd.DataFrame:
    """One row a nucleus: x_um, y_um (from the slide's top left), area_um2, aspect, angle, amount (haematoxylin),
    giant (bizarre, often with several nuclei), class, region (index into REGIONS)."""
    both = [_positions(generator, layout=layout, density=density) for density in densities(look)]
    x, y, gy, gx = (np.concatenate(parts) for parts in zip(*both, strict=True))
    return dressed(generator, layout=layout, look=look, x=x, y=y, gy=gy, gx=gx)


def densities(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Nuclei per mm² by region, in two layers: dense clusters of lymphocytes lie on a grid of their own, so that the
    others' nuclei keep their distance."""
    per_region = np.zeros(len(REGIONS))
    per_region[[TUMOUR, MYXOID, NECROSIS]] = np.array([1.0, 0.45, 0.55]) * look.cellularity_per_mm2
    per_region[[SEPTUM, FAT, MUSCLE]] = (650, 60, 320)
    apart = np.zeros(len(REGIONS))
    apart[INFLAMMATION] = LYMPHOCYTES_PER_MM2
    return per_region, apart


def local_density(layout: Layout, *, density: np.ndarray) -> np.ndarray:
    """Nuclei per mm² at each place of a layout, (h, w), from those by region."""
    alive = np.isin(layout.region, (TUMOUR, MYXOID))
    return density[layout.region] * np.where(alive, (0.5 + 0.6 * layout.vigour) * layout.crowding, 1.0)


def dressed(
    generator: np.random.Generator,
    *,
    layout: Layout,
    look: Look,
    x: np.ndarray,
    y: np.ndarray,
    gy: np.ndarray,
    gx: np.ndarray,
) -> pd.DataFrame:
    """Class, size, shape and darkness of nuclei at (n,) `x`, `y` µm, that is at `gy`, `gx` of the layout."""
    region, vigour = layout.region[gy, gx], layout.vigour[gy, gx]
    kind = _classes(generator, region=region, vigour=vigour, look=look)
    tumour = np.isin(kind, (0, 1))
    area, giant = _areas(generator, kind=kind, vigour=vigour, look=look)
    lengthwise = layout.lengthwise[gy, gx]
    shown = np.where(kind == 0, 1 + (ASPECT[look.histotype] - 1) * (0.25 + 0.75 * lengthwise), ASPECT[look.histotype])
    shown = np.where(giant, 1 + 0.35 * (shown - 1), shown)
    aspect = np.select([tumour, np.isin(kind, (2, 4))], [shown, 3.6], default=1.15)
    aspect = np.maximum(1.0, aspect * np.exp(0.18 * generator.standard_normal(len(x))))
    spread = np.where(np.isin(region, (TUMOUR, MYXOID)), ALIGNED[look.histotype], 0.12)
    angle = layout.angle[gy, gx] + spread * generator.standard_normal(len(x))
    uneven = 0.07 + 0.17 * look.anisokaryosis_cv  # nuclei of unequal size are unequally dark as well
    dark = look.hyperchromasia * (0.80 + 0.20 * vigour) * np.exp(uneven * generator.standard_normal(len(x)))
    dark = np.where(giant, 1.15 * dark, dark)
    amount = np.select([kind == 0, kind == 1, kind == 3, kind == 5], [0.60 * dark, 1.60, 0.92, 0.34 * dark], 0.72)
    pyknotic = (kind == 5) & (generator.random(len(x)) < 0.35)
    amount, area = np.where(pyknotic, 0.85, amount), np.where(pyknotic, 12.0, area)
    table = {"x_um": x, "y_um": y, "area_um2": area, "aspect": aspect, "angle": angle, "amount": amount, "giant": giant}
    return pd.DataFrame({**table, "class": pd.Categorical.from_codes(kind, list(CLASSES)), "region": region})


def _positions(
    generator: np.random.Generator, *, layout: Layout, density: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if not density[layout.region].any():
        nowhere = np.zeros(0, int)
        return np.zeros(0), np.zeros(0), nowhere, nowhere
    local = local_density(layout, density=density)
    step = np.sqrt(2 / np.sqrt(3) / (max(float(local.max()), 100.0) * 1e-6))  # µm between neighbours of a full grid
    height, width = layout.region.shape[0] * GRID_UM, layout.region.shape[1] * GRID_UM
    rows, columns = int(height / (step * 0.866)) + 1, int(width / step) + 1
    y, x = np.mgrid[:rows, :columns].astype(float)
    x = (x + 0.5 * (y % 2)) * step + 0.27 * step * generator.standard_normal(x.shape)
    y = y * step * 0.866 + 0.27 * step * generator.standard_normal(y.shape)
    x, y, keep = x.ravel(), y.ravel(), generator.random(x.size)
    gx, gy = (x / GRID_UM).astype(int), (y / GRID_UM).astype(int)
    inside = (x >= 4) & (y >= 4) & (gx < layout.region.shape[1] - 1) & (gy < layout.region.shape[0] - 1)
    x, y, gx, gy, keep = x[inside], y[inside], gx[inside], gy[inside], keep[inside]
    chosen = (keep < local[gy, gx] / local.max()) & (layout.tissue[gy, gx] > 0.01) & (layout.region[gy, gx] != GLASS)
    return x[chosen], y[chosen], gy[chosen], gx[chosen]


def mitotic_share(vigour: np.ndarray, *, look: Look) -> np.ndarray:
    """Share of the tumour's cells that divide, where `vigour` is that: on average over living tumour as many figures in
    ten high-power fields as the patient's count says, more at a hot spot, fewer where it is calm."""
    wanted = look.mitoses_per_10_hpf / HPF10_MM2 / look.cellularity_per_mm2
    return np.minimum(wanted * 2 * vigour / VIGOUR_OF_DIVIDING, 0.1)


def _classes(generator: np.random.Generator, *, region: np.ndarray, vigour: np.ndarray, look: Look) -> np.ndarray:
    die = generator.random(len(region))
    alive = np.isin(region, (TUMOUR, MYXOID))
    kind = np.select([np.isin(region, (SEPTUM, FAT, MUSCLE)), region == NECROSIS], [2, 5], default=0)
    kind = np.where((region == INFLAMMATION) & (die > 0.06), 3, np.where(region == INFLAMMATION, 2, kind))
    kind = np.where(alive & (die < mitotic_share(vigour, look=look)), 1, kind)
    kind = np.where(alive & (die > 0.965), 3, kind)
    return np.where((region == SEPTUM) & (die > 0.6), 3, kind)


def _areas(
    generator: np.random.Generator, *, kind: np.ndarray, vigour: np.ndarray, look: Look
) -> tuple[np.ndarray, np.ndarray]:
    """Areas in µm², (n,), and which nuclei are giants, (n,).

    Tumour nuclei are log-normal with a few giants among them; together they have the patient's mean and coefficient of
    variation, both less where vigour is low.
    """
    n = len(kind)
    cv = look.anisokaryosis_cv * (0.70 + 0.40 * vigour)
    share = GIANTS * np.clip(cv - CALM_CV, 0, 0.65) ** 2
    mean = look.nuclear_area_um2 * (0.80 + 0.28 * vigour)
    others = (1 - share * GIANT_SIZE) / (1 - share)  # mean of the others against that of all
    square = (1 + cv**2 - share * GIANT_SIZE**2 * (1 + GIANT_CV**2)) / ((1 - share) * others**2)
    sigma = np.sqrt(np.log(np.maximum(square, 1.02)))
    giant = (kind == 0) & (generator.random(n) < share)
    own, bizarre = (
        np.exp(s * generator.standard_normal(n) - s**2 / 2) for s in (sigma, np.sqrt(np.log1p(GIANT_CV**2)))
    )
    tumour = mean * np.where(giant, GIANT_SIZE * bizarre, others * own)
    dividing = np.clip(0.5 * look.nuclear_area_um2, 26, 60)
    other = np.select([kind == 1], [dividing], np.array([0.0, 0.0, 34.0, 30.0, 30.0, 42.0])[kind])
    other = other * np.exp(0.15 * generator.standard_normal(n))
    return np.clip(np.where(kind == 0, tumour, other), 8, 1500), giant
