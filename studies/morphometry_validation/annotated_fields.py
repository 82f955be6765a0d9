"""Pictures whose nuclei are known: outlined by people on real tissue, or painted by the simulation.

Real fields (none of them comes with this repository; see `docs/interpretability.md`):

- Data Science Bowl 2018, H&E fields (BBBC038, Caicedo et al., Nature Methods 2019;16:1247-1253). Their scale is not
  recorded and differs between fields. Taken is, of 20x, 40x and 60x (0.5, 0.25, 0.167 µm/px), the one at which the median
  known nucleus comes nearest to USUAL_AREA_UM2; a slide would state it.
- Two fields of high-grade serous ovarian carcinoma, with outlines, as the package histolytics ships them; scale taken as
  0.5 µm/px. Cut into pieces of OVARY_PIECE_PX.

Each picture belongs to one part: "chosen on", whose pictures the settings of outlining were chosen on, or "held out".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from skimage.draw import polygon

from sarcnet.compendium.paths import root

PARTS = ("chosen on", "held out")
MAGNIFICATIONS_UM_PER_PX = (0.5, 0.25, 1 / 6)
USUAL_AREA_UM2 = 45.0
OVARY_UM_PER_PX, OVARY_PIECE_PX = 0.5, 500


@dataclass(frozen=True)
class KnownField:
    """A picture (h, w, 3) uint8 at `mpp` µm/px with its nuclei as labels (h, w)."""

    source: str
    name: str
    part: str
    picture: np.ndarray
    labels: np.ndarray
    mpp: float


def real_folder() -> Path | None:
    """Folder of real pictures: named by SARCNET_SHARED_DATA, else shared/data beside the repository; None without one."""
    named = os.environ.get("SARCNET_SHARED_DATA")
    folder = Path(named) if named else root().parent / "shared" / "data"
    return folder if (folder / "tiles").is_dir() else None


def real_fields(folder: Path) -> list[KnownField]:
    """All fields below `folder`/tiles, in a fixed order; empty where there are none."""
    return [*_bowl(folder / "tiles" / "dsb2018_he"), *_ovary(folder / "tiles" / "histolytics_hgsc")]


def resampled(known: KnownField, *, mpp: float) -> KnownField:
    """The same field at another scale, so that nuclei are measured on as many pixels as in a tile of the study."""
    scale = known.mpp / mpp
    size = (max(1, round(known.picture.shape[1] * scale)), max(1, round(known.picture.shape[0] * scale)))
    picture = cv2.resize(known.picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    labels = cv2.resize(known.labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    return KnownField(known.source, known.name, known.part, picture, labels, mpp)


def likely_um_per_px(labels: np.ndarray) -> float:
    """Of MAGNIFICATIONS_UM_PER_PX the one at which the median labelled nucleus comes nearest to USUAL_AREA_UM2."""
    size = np.bincount(labels.ravel())[1:]
    median_px = float(np.median(size[size > 0]))
    return min(MAGNIFICATIONS_UM_PER_PX, key=lambda mpp: abs(np.log(median_px * mpp**2 / USUAL_AREA_UM2)))


def _bowl(folder: Path) -> Iterator[KnownField]:
    for number, file in enumerate(sorted(folder.glob("*_labels.png"))):
        labels = np.asarray(Image.open(file)).astype(np.int32)
        name = file.stem.removesuffix("_labels")
        picture = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        part = PARTS[number % 2]
        yield KnownField("Data Science Bowl", name, part, picture, labels, likely_um_per_px(labels))


def _ovary(folder: Path) -> Iterator[KnownField]:
    if not folder.is_dir():
        return
    picture = np.asarray(Image.open(folder / "hgsc_nest.jpg").convert("RGB"))
    labels = np.load(folder / "hgsc_nest_inst_mask.npz")["nuc_raster"].astype(np.int32)
    for number, (name, piece, known) in enumerate(_pieces("nest", picture, labels)):
        yield KnownField("ovary, tumour", name, PARTS[number % 2], piece, known, OVARY_UM_PER_PX)
    picture = np.asarray(Image.open(folder / "hgsc_stromal_he.jpg").convert("RGB"))
    outlines = pd.read_parquet(folder / "hgsc_stromal_cells.parquet")["geometry"]
    labels = drawn(outlines, shape=picture.shape[:2])
    for number, (name, piece, known) in enumerate(_pieces("stroma", picture, labels)):
        yield KnownField("ovary, stroma", name, PARTS[number % 2], piece, known, OVARY_UM_PER_PX)


def _pieces(name: str, picture: np.ndarray, labels: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for top in range(0, picture.shape[0] - OVARY_PIECE_PX + 1, OVARY_PIECE_PX):
        for left in range(0, picture.shape[1] - OVARY_PIECE_PX + 1, OVARY_PIECE_PX):
            there = np.s_[top : top + OVARY_PIECE_PX, left : left + OVARY_PIECE_PX]
            if labels[there].any():
                yield f"{name} {left},{top}", picture[there], labels[there]


def drawn(outlines: pd.Series, *, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) of polygons in well-known binary (OGC Simple Features), the outer ring of each, x before y in px.

    Raises:
        ValueError: something else than a polygon stands there.
    """
    labels = np.zeros(shape, np.int32)
    for number, raw in enumerate(outlines, start=1):
        order = "<" if raw[0] == 1 else ">"
        kind, _rings, points = struct.unpack_from(order + "III", raw, 1)
        if kind != 3:
            raise ValueError(f"Outline {number} is of kind {kind} in well-known binary; only polygons (3) are drawn.")
        xy = np.frombuffer(raw, order + "f8", 2 * points, offset=13).reshape(-1, 2)
        rows, columns = polygon(xy[:, 1], xy[:, 0], shape)
        labels[rows, columns] = number
    return labels
