"""The nuclei of a slide: where they lie, how large, how dark, of which class; and drawing them.

Classes: tumour, mitosis, fibroblast, lymphocyte, endothelium, necrotic. Positions come from a jittered hexagonal grid
that is thinned to the wanted density, because nuclei keep a distance to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from sarcnet.virtual.layout import FAT, GLASS, GRID_UM, MYXOID, NECROSIS, REGIONS, SEPTUM, TUMOUR, Layout

CLASSES = ("tumour", "mitosis", "fibroblast", "lymphocyte", "endothelium", "necrotic")
ASPECT = (1.55, 3.0, 2.2, 3.0, 1.5, 1.6)  # length / width of tumour nuclei, by histotype
ALIGNED = (0.55, 0.18, 0.6, 0.25, 0.9, 0.7)  # deviation from the fibres, radians, by histotype
CORNERS = 22
HPF10_MM2 = 1.74  # ten fields of 0.174 mm², as the FNCLCC count is defined


@dataclass(frozen=True)
class Look:
    """The patient's pathology as far as it can be seen: units of `sarcnet.virtual.pathology`."""

    histotype: int
    cellularity_per_mm2: float
    nuclear_area_um2: float
    anisokaryosis_cv: float
    hyperchromasia: float
    mitoses_per_10_hpf: float
    necrosis_fraction: float


def place_nuclei(generator: np.random.Generator, *, layout: Layout, look: Look) -> pd.DataFrame:
    """One row a nucleus: x_um, y_um (from the slide's top left), area_um2, aspect, angle, amount (haematoxylin),
    class, region (index into REGIONS)."""
    per_region = np.zeros(len(REGIONS))
    per_region[[TUMOUR, MYXOID, SEPTUM, NECROSIS, FAT]] = (
        *(look.cellularity_per_mm2, 0.45 * look.cellularity_per_mm2, 650, 0.55 * look.cellularity_per_mm2, 60),
    )
    x, y, gy, gx = _positions(generator, layout=layout, density=per_region)
    region, vigour = layout.region[gy, gx], layout.vigour[gy, gx]
    kind = _classes(generator, region=region, vigour=vigour, look=look)
    tumour = np.isin(kind, (0, 1))
    area = _areas(generator, kind=kind, vigour=vigour, look=look)
    aspect = np.select([tumour, np.isin(kind, (2, 4))], [ASPECT[look.histotype], 3.6], default=1.15)
    aspect = np.maximum(1.0, aspect * np.exp(0.18 * generator.standard_normal(len(x))))
    angle = _angles(generator, layout=layout, x=x, y=y, gy=gy, gx=gx, spread=ALIGNED[look.histotype])
    dark = look.hyperchromasia * (0.80 + 0.20 * vigour) * np.exp(0.14 * generator.standard_normal(len(x)))
    amount = np.select([kind == 0, kind == 1, kind == 3, kind == 5], [0.46 * dark, 1.15, 0.80, 0.30 * dark], 0.58)
    pyknotic = (kind == 5) & (generator.random(len(x)) < 0.35)
    amount, area = np.where(pyknotic, 0.85, amount), np.where(pyknotic, 12.0, area)
    table = {"x_um": x, "y_um": y, "area_um2": area, "aspect": aspect, "angle": angle, "amount": amount}
    return pd.DataFrame({**table, "class": pd.Categorical.from_codes(kind, list(CLASSES)), "region": region})


def draw_nuclei(
    nuclei: pd.DataFrame, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator
) -> np.ndarray:
    """Haematoxylin of nuclei as flat shapes with a darker rim and nucleoli, (h, w) float32; 0 elsewhere.

    Outlines are ellipses bent by three harmonics, more the larger the nucleus: bizarre giants, calm small ones.
    """
    outlines = _outlines(nuclei, generator=generator) / mpp  # (n, CORNERS, 2) px around the centre
    middle = nuclei[["x_um", "y_um"]].to_numpy() / mpp
    rim, body = outlines + middle[:, None], outlines * 0.86 + middle[:, None]
    amount = nuclei["amount"].to_numpy()
    kind = nuclei["class"].cat.codes.to_numpy()
    image = Image.new("F", (shape[1], shape[0]), 0.0)
    pen = ImageDraw.Draw(image)
    vesicular = np.where(kind == 0, np.clip(1.18 - 0.0022 * nuclei["area_um2"].to_numpy(), 0.70, 1.05), 1.0)
    spots = generator.random((len(nuclei), 3))
    for k in range(len(nuclei)):
        pen.polygon(rim[k].ravel().tolist(), fill=float(amount[k] * 1.12))
        if kind[k] in (0, 5):
            pen.polygon(body[k].ravel().tolist(), fill=float(amount[k] * vesicular[k]))
        if kind[k] == 0 and spots[k, 0] < 0.4:
            (cx, cy), r = middle[k] + 0.35 * outlines[k, int(spots[k, 1] * CORNERS)], (0.7 + 0.8 * spots[k, 2]) / mpp
            pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=float(amount[k] * 1.5))
    return np.asarray(image)


def _positions(
    generator: np.random.Generator, *, layout: Layout, density: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    local = density[layout.region] * np.where(np.isin(layout.region, (TUMOUR, MYXOID)), 0.5 + 0.6 * layout.vigour, 1.0)
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


def _classes(generator: np.random.Generator, *, region: np.ndarray, vigour: np.ndarray, look: Look) -> np.ndarray:
    die = generator.random(len(region))
    mitotic = np.minimum(look.mitoses_per_10_hpf / HPF10_MM2 / look.cellularity_per_mm2 * 2 * vigour, 0.1)
    alive = np.isin(region, (TUMOUR, MYXOID))
    kind = np.select([region == SEPTUM, region == NECROSIS, region == FAT], [2, 5, 2], default=0)
    kind = np.where(alive & (die < mitotic), 1, kind)
    kind = np.where(alive & (die > 0.965), 3, kind)
    return np.where((region == SEPTUM) & (die > 0.6), 3, kind)


def _areas(generator: np.random.Generator, *, kind: np.ndarray, vigour: np.ndarray, look: Look) -> np.ndarray:
    """Tumour nuclei log-normal with the patient's mean and coefficient of variation; calmer where vigour is low."""
    n = len(kind)
    cv = look.anisokaryosis_cv * (0.70 + 0.40 * vigour)
    sigma = np.sqrt(np.log1p(cv**2))
    mean = look.nuclear_area_um2 * (0.80 + 0.28 * vigour)
    tumour = mean * np.exp(sigma * generator.standard_normal(n) - sigma**2 / 2)
    other = np.array([0.0, 32.0, 34.0, 30.0, 30.0, 42.0])[kind] * np.exp(0.15 * generator.standard_normal(n))
    return np.clip(np.where(kind == 0, tumour, other), 8, 900)


def _angles(
    generator: np.random.Generator,
    *,
    layout: Layout,
    x: np.ndarray,
    y: np.ndarray,
    gy: np.ndarray,
    gx: np.ndarray,
    spread: float,
) -> np.ndarray:
    cell = layout.cell[gy, gx]
    angle = layout.angle[cell]
    if layout.storiform:
        angle = np.arctan2(y - layout.centre[cell, 1], x - layout.centre[cell, 0])
    return angle + spread * generator.standard_normal(len(x))


def _outlines(nuclei: pd.DataFrame, *, generator: np.random.Generator) -> np.ndarray:
    """(n, CORNERS, 2) µm around each centre, with the area that the table says."""
    n = len(nuclei)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    area, aspect, angle = (nuclei[name].to_numpy()[:, None] for name in ("area_um2", "aspect", "angle"))
    bend = 0.035 + 0.10 * np.clip((area - 60) / 250, 0, 1)
    bend = np.where((nuclei["class"] == "mitosis").to_numpy()[:, None], 0.16, bend)
    radius = np.ones((n, CORNERS))
    for harmonic in (2, 3, 5):
        radius += bend * generator.standard_normal((n, 1)) * np.cos(harmonic * turn + generator.uniform(0, 6.3, (n, 1)))
    radius = np.clip(radius, 0.5, 1.6)
    radius *= np.sqrt(area / np.pi) / np.sqrt((radius**2).mean(1, keepdims=True))
    along, across = radius * np.cos(turn) * np.sqrt(aspect), radius * np.sin(turn) / np.sqrt(aspect)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)
