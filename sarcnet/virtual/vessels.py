"""Small blood vessels: a wall, endothelial nuclei along it, red cells inside; more of them in septa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from sarcnet.virtual.layout import FAT, GRID_UM, SEPTUM, Layout
from sarcnet.virtual.nuclei import CLASSES

PER_MM2 = 14.0
SEPTUM_FAVOUR = 6.0  # times as many as elsewhere


@dataclass(frozen=True)
class Vessels:
    """Vessels of a slide: flat pixel numbers of `wall` and `lumen`, `blood` (0..1) of the lumen's pixels, `rings`
    (v, 4) x, y and half axes of the outer wall in µm, `endothelium` with the columns of a table of nuclei."""

    wall: np.ndarray
    lumen: np.ndarray
    blood: np.ndarray
    rings: np.ndarray
    endothelium: pd.DataFrame

    def stain(self, eosin: np.ndarray, *, haematoxylin: np.ndarray, saffron: np.ndarray | None) -> None:
        """Put walls, lumina and blood into the amounts, each (h, w), in place."""
        eosin.ravel()[self.wall] = 0.20 + 0.35 * eosin.ravel()[self.wall]
        eosin.ravel()[self.lumen] = 0.62 * self.blood
        haematoxylin.ravel()[self.lumen] = 0.0
        if saffron is not None:
            saffron.ravel()[self.wall] = 0.16
            saffron.ravel()[self.lumen] = 0.22 * self.blood

    def with_endothelium(self, nuclei: pd.DataFrame) -> pd.DataFrame:
        """The nuclei that lie outside of every vessel, and the vessels' own."""
        free = np.ones(len(nuclei), bool)
        x, y = nuclei["x_um"].to_numpy(), nuclei["y_um"].to_numpy()
        for cx, cy, rx, ry in self.rings:
            free &= ((x - cx) / (rx + 1)) ** 2 + ((y - cy) / (ry + 1)) ** 2 > 1
        return pd.concat([nuclei[free], self.endothelium], ignore_index=True)


def draw_vessels(layout: Layout, *, shape: tuple[int, int], mpp: float, generator: np.random.Generator) -> Vessels:
    """Vessels of random size and place in the tissue of a slide of `shape` pixels."""
    spots = np.argwhere((layout.tissue > 0.06) & (layout.region != FAT))
    wanted = int(generator.poisson(PER_MM2 * layout.region.size * GRID_UM**2 * 1e-6)) if len(spots) else 0
    weight = np.where(layout.region[tuple(spots.T)] == SEPTUM, SEPTUM_FAVOUR, 1.0)
    chosen = generator.choice(len(spots), size=wanted, p=weight / weight.sum()) if wanted else np.zeros(0, int)
    walls, lumina, blood = (Image.new("L", (shape[1], shape[0]), 0) for _ in range(3))
    rings, cells = [], []
    for gy, gx in spots[chosen]:
        x, y = (gx + 0.5) * GRID_UM, (gy + 0.5) * GRID_UM
        rx = float(np.clip(np.exp(generator.normal(2.3, 0.45)), 5, 40))
        ry = rx * float(generator.uniform(0.45, 1.0))
        thick = 2.0 + 0.15 * rx
        _ellipse(walls, x, y, rx + thick, ry + thick, mpp=mpp)
        _ellipse(lumina, x, y, rx, ry, mpp=mpp)
        for _ in range(int(generator.integers(0, 2 + int(rx * ry / 18)))):
            turn, out = generator.uniform(0, 2 * np.pi), np.sqrt(generator.random()) * 0.7
            _ellipse(blood, x + out * rx * np.cos(turn), y + out * ry * np.sin(turn), 3.3, 2.9, mpp=mpp)
        rings.append((x, y, rx + thick, ry + thick))
        for turn in np.arange(0, 2 * np.pi, 16 / np.sqrt(rx * ry)) + generator.uniform(0, 1):
            direction = np.arctan2(ry * np.cos(turn), -rx * np.sin(turn))
            place = (x + (rx + 1.5) * np.cos(turn), y + (ry + 1.5) * np.sin(turn))
            cells.append((*place, direction, float(layout.region[gy, gx])))
    lumen = np.flatnonzero(np.asarray(lumina) > 0)
    wall = np.setdiff1d(np.flatnonzero(np.asarray(walls) > 0), lumen, assume_unique=True)
    red = np.asarray(blood).ravel()[lumen].astype(np.float32) / 255
    return Vessels(wall, lumen, red, np.array(rings).reshape(-1, 4), _endothelium(np.array(cells).reshape(-1, 4)))


def _endothelium(frame: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"x_um": frame[:, 0], "y_um": frame[:, 1], "area_um2": 24.0, "aspect": 3.4})
    table = table.assign(angle=frame[:, 2], amount=0.50, region=frame[:, 3].astype(np.uint8))
    return table.assign(**{"class": pd.Categorical(["endothelium"] * len(table), list(CLASSES))})


def _ellipse(image: Image.Image, x: float, y: float, rx: float, ry: float, *, mpp: float) -> None:
    box = ((x - rx) / mpp, (y - ry) / mpp, (x + rx) / mpp, (y + ry) / mpp)
    ImageDraw.Draw(image).ellipse(box, fill=255)
