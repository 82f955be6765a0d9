"""Which share of a tile is bare glass, dead, or fibrous stroma: rules on local means, made for H&E and HES.

Necrosis is eosinophilic, has no nuclei left and is granular; collagen and muscle are eosinophilic, poor in nuclei and run
in fibres (textbook criteria: Kumar et al., Robbins and Cotran, 10th ed.). Whether a place runs in fibres is said by the
coherence of its structure tensor (Bigün and Granlund, ICCV 1987), 0 where edges point everywhere and 1 where they all
point one way. The limits below were chosen on one half of simulated tiles; on real slides they are plausible and unproven,
see `docs/interpretability.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from sarcnet.morphometry.nuclei import blurred
from sarcnet.morphometry.stains import OD_OF_LEVEL, Stains

COARSE_UM = 1.0  # µm/px at which shares are judged
NEAR_UM, NUCLEI_NEAR_UM = 6.0, 12.0  # over which colour and fibres, and nuclei, are averaged
BORDER_UM = 1.0  # around a nucleus that says nothing of what lies between nuclei
GLASS_OD_MAX = 0.06
EOSIN_MIN_OD = 0.16
COHERENCE = 0.33  # below it a place is granular, above it fibrous
NECROSIS_NUCLEI_MAX, STROMA_NUCLEI_MAX = 0.12, 0.20  # share of the neighbourhood that nuclei cover
STROMA_EOSIN_MIN = 0.87  # eosin over eosin and haematoxylin, between nuclei


@dataclass(frozen=True)
class TissueMaps:
    """Masks (h', w') at COARSE_UM: bare glass, necrosis, fibrous stroma; what remains is living tumour or other tissue."""

    glass: np.ndarray
    necrosis: np.ndarray
    stroma: np.ndarray

    @property
    def living(self) -> float:
        """Share of the picture that is tissue and not dead."""
        return float(1 - (self.glass | self.necrosis).mean())

    def lies_dead(self, x_um: pd.Series, y_um: pd.Series) -> np.ndarray:
        """(n,) whether these places, in µm from the top left, lie in necrosis."""
        height, width = self.necrosis.shape
        row = np.clip((y_um.to_numpy(float) / COARSE_UM).astype(int), 0, height - 1)
        column = np.clip((x_um.to_numpy(float) / COARSE_UM).astype(int), 0, width - 1)
        return self.necrosis[row, column]


def tissue_maps(picture: np.ndarray, labels: np.ndarray, *, stains: Stains, mpp: float) -> TissueMaps:
    """Maps of a picture (h, w, 3) uint8 whose nuclei are outlined in `labels` (h, w)."""
    size = tuple(max(1, round(side * mpp / COARSE_UM)) for side in labels.shape[::-1])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    nuclei = cv2.resize((labels > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    between = cv2.erode((nuclei < 0.5).astype(np.float32), _disc(BORDER_UM))
    density = stains.densities(small)
    od = OD_OF_LEVEL[small].mean(axis=-1)
    weight = _mean(between)
    local = {name: _mean(plane * between) / (weight + 1e-3) for name, plane in (("od", od), ("eosin", density[..., 1]))}
    haematoxylin = _mean(np.maximum(density[..., 0], 0) * between) / (weight + 1e-3)
    coherence = _coherence(od, between)
    near = blurred(nuclei, sigma_px=NUCLEI_NEAR_UM / COARSE_UM)
    glass = (_mean(od) if weight.max() < 0.05 else local["od"]) < GLASS_OD_MAX
    eosinophilic = ~glass & (local["eosin"] > EOSIN_MIN_OD)
    share = local["eosin"] / np.maximum(local["eosin"] + haematoxylin, 1e-3)
    return TissueMaps(
        glass=glass,
        necrosis=eosinophilic & (coherence < COHERENCE) & (near < NECROSIS_NUCLEI_MAX),
        stroma=eosinophilic & (coherence >= COHERENCE) & (near < STROMA_NUCLEI_MAX) & (share > STROMA_EOSIN_MIN),
    )


def _mean(plane: np.ndarray) -> np.ndarray:
    return blurred(plane, sigma_px=NEAR_UM / COARSE_UM)


def _disc(radius_um: float) -> np.ndarray:
    side = 2 * max(1, round(radius_um / COARSE_UM)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _coherence(od: np.ndarray, between: np.ndarray) -> np.ndarray:
    """(h, w) in 0..1, of what lies between nuclei, whose rims point everywhere."""
    along, down = (cv2.Sobel(od, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    xx, xy, yy = (_mean(product * between) for product in (along * along, along * down, down * down))
    return np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-9)
