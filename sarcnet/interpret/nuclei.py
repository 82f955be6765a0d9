"""Nuclei outlined in H&E or HES by threshold and watershed; nothing here knows how virtual slides are painted.

Steps, all in µm so that they mean the same at any scale: density of the dye, smoothed; a threshold between nuclei and
their surroundings by Otsu's method (IEEE Trans SMC 1979;9:62-66), raised where the neighbourhood is dark; small pieces
and holes removed; touching nuclei parted by a watershed from the inmost points of each clump (Vincent and Soille, IEEE
PAMI 1991;13:583-598; the recipe of Wählby et al., J Microsc 2004;215:67-76, without its merging step).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed


@dataclass(frozen=True)
class Outlining:
    """How nuclei are outlined; the defaults were chosen on one half of the pictures of `interpret/validation.py`."""

    smooth_um: float = 0.6
    neighbourhood_um: float = 15.0  # over which the surroundings are averaged
    local_weight: float = 0.4  # of the surroundings in the threshold, 0 to 1
    strictness: float = 1.1  # of the threshold between nuclei and the rest, in parts of Otsu's
    contrast_min_od: float = 0.08  # between nuclei and surroundings; below it a picture has no nuclei
    area_min_um2: float = 9.0
    apart_um: float = 3.5  # least distance of the inmost points of two nuclei
    depth_smooth_um: float = 1.0


def outline_nuclei(
    density: np.ndarray, *, mpp: float, how: Outlining | None = None, level: float | None = None
) -> np.ndarray:
    """Label picture (h, w) int32, 0 outside nuclei, from the density (h, w) of the nuclear dye in OD at `mpp` µm/px.

    Args:
        density: OD; see :mod:`sarcnet.interpret.stains`.
        mpp: µm per pixel.
        level: OD that parts nuclei from the rest, best from many tiles of the slide (:func:`nuclear_level`): by itself a tile
        without nuclei would find some. Left out, it is taken from this picture; NaN finds
        nothing.
    """
    how = how or Outlining()
    dye = blurred(density, sigma_px=how.smooth_um / mpp)
    cut = nuclear_level(dye, how=how) if level is None else level
    if not np.isfinite(cut):
        return np.zeros(dye.shape, np.int32)
    around = blurred(dye, sigma_px=how.neighbourhood_um / mpp)
    own = how.strictness * (1 - how.local_weight) * cut
    nuclear = dye > own + how.local_weight * np.maximum(around, 0.5 * cut)
    least = how.area_min_um2 / mpp**2
    solid = _filled(nuclear, least_px=least)
    depth = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5)
    depth = blurred(depth, sigma_px=how.depth_smooth_um / mpp)
    side = 2 * max(1, round(how.apart_um / mpp)) + 1
    peak = (depth == cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))) & solid
    seeds = cv2.connectedComponents(peak.astype(np.uint8))[1]
    return _without_small(watershed(-depth, seeds, mask=solid), least_px=least)


def nuclear_level(densities: np.ndarray, *, how: Outlining | None = None) -> float:
    """OD that parts nuclei from the rest by Otsu's method; NaN where both sides differ by less than `contrast_min_od`."""
    how = how or Outlining()
    values = np.asarray(densities, np.float32).ravel()
    if not len(values) or values.max() - values.min() < how.contrast_min_od:
        return float("nan")
    cut = float(threshold_otsu(values))
    above = values > cut
    contrast = values[above].mean() - values[~above].mean()
    return cut if contrast >= how.contrast_min_od else float("nan")


def blurred(picture: np.ndarray, *, sigma_px: float) -> np.ndarray:
    """Gaussian mean of (h, w), edges mirrored."""
    return cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), max(sigma_px, 1e-3), borderType=cv2.BORDER_REFLECT)


def _filled(nuclear: np.ndarray, *, least_px: float) -> np.ndarray:
    solid = _kept(nuclear, least_px=least_px)
    return ~_kept(~solid, least_px=2 * least_px)


def _kept(mask: np.ndarray, *, least_px: float) -> np.ndarray:
    """The connected pieces of a mask that are at least this large."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return large[labels]


def _without_small(labels: np.ndarray, *, least_px: float) -> np.ndarray:
    size = np.bincount(labels.ravel())
    kept = size >= least_px
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]
