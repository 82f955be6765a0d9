"""Nuclei outlined in H&E or HES by threshold and watershed; nothing here knows how virtual slides are painted.

Steps, all in µm so that they mean the same at any scale: density of the nuclear dye, smoothed; a threshold, raised where
the neighbourhood is dark; small pieces and holes removed; touching nuclei parted by a watershed from the inmost points of
each clump (Vincent and Soille, IEEE PAMI 1991;13:583-598; the recipe of Wählby et al., J Microsc 2004;215:67-76, without
its merging step); what hardly differs from its rim, or is a ragged strand, removed.

The threshold is Otsu's (IEEE Trans SMC 1979;9:62-66) on what is tissue. Where nuclei are few it splits stroma from stroma;
without the last step it found 2.4 times the nuclei of real stroma, with it still too many: see `docs/interpretability.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import find_objects
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

SIGMA_KEPT_PX = 6.0  # wider Gaussians are taken of a picture shrunk until theirs is about this wide


@dataclass(frozen=True)
class Outlining:
    """How nuclei are outlined; the defaults were chosen on the part "chosen on" of `interpret/known_nuclei.py`."""

    smooth_um: float = 0.6
    tissue_min_od: float = 0.05  # of the nuclear dye; what is paler is glass and takes no part in the threshold
    contrast_min_od: float = 0.08  # between both sides of the threshold; below it there are no nuclei
    neighbourhood_um: float = 25.0  # over which the surroundings are averaged
    local_weight: float = 0.4  # of the surroundings in the threshold, 0 to 1
    strictness: float = 1.1  # what the slide's own part of the threshold is multiplied by
    area_min_um2: float = 9.0
    apart_um: float = 3.5  # least distance of the inmost points of two nuclei
    depth_smooth_um: float = 1.0
    rim_um: float = 2.5  # around a nucleus, with which it is compared
    rim_contrast_min: float = 0.4  # in parts of what the picture's darker nuclei have over the rest
    solidity_min: float = 0.75  # area over that of the convex hull; below it a thin piece is a strand
    strand_um: float = 2.2  # half width up to which a piece is thin


def outline_nuclei(
    density: np.ndarray, *, mpp: float, how: Outlining | None = None, level: float | None = None
) -> np.ndarray:
    """Label picture (h, w) int32, 0 outside nuclei, from the density (h, w) of the nuclear dye in OD at `mpp` µm/px.

    Args:
        density: OD; see :mod:`sarcnet.morphometry.stains`.
        mpp: µm per pixel.
        level: OD at which nuclei begin, best from many tiles of the slide (:func:`nuclear_level`): by itself a tile without
            nuclei might find some. Left out, it is taken from this picture; NaN finds nothing.
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
    solid = _kept(nuclear, least_px=least)
    solid = ~_kept(~solid, least_px=2 * least)  # holes filled
    depth = blurred(cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5), sigma_px=how.depth_smooth_um / mpp)
    labels = _parted(solid, depth, apart_px=how.apart_um / mpp)
    size = np.bincount(labels.ravel())
    clear = _rim_contrast(labels, dye, rim_px=how.rim_um / mpp) >= how.rim_contrast_min
    half_width = np.zeros(len(size), np.float32)
    np.maximum.at(half_width, labels.ravel(), depth.ravel())
    thick = half_width * mpp > how.strand_um
    return _renumbered(labels, kept=clear & (size >= least) & (thick | (solidities(labels) >= how.solidity_min)))


def nuclear_level(densities: np.ndarray, *, how: Outlining | None = None) -> float:
    """OD that parts nuclei from other tissue, from smoothed densities of any shape; NaN where both sides hardly differ."""
    how = how or Outlining()
    values = np.asarray(densities, np.float32).ravel()
    tissue = values[values > how.tissue_min_od]
    if len(tissue) < 2 or tissue.max() - tissue.min() < how.contrast_min_od:
        return float("nan")
    cut = float(threshold_otsu(tissue))
    above = tissue > cut
    return cut if tissue[above].mean() - tissue[~above].mean() >= how.contrast_min_od else float("nan")


def blurred(picture: np.ndarray, *, sigma_px: float) -> np.ndarray:
    """Gaussian mean of (h, w), edges mirrored; wide ones on a smaller picture, which differs little and costs much less."""
    plane = np.asarray(picture, np.float32)
    shrink = max(1, int(sigma_px / SIGMA_KEPT_PX))
    if shrink == 1 or min(plane.shape) < 2 * shrink:
        return cv2.GaussianBlur(plane, (0, 0), max(sigma_px, 1e-3), borderType=cv2.BORDER_REFLECT)
    size = (-(-plane.shape[1] // shrink), -(-plane.shape[0] // shrink))
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)


def solidities(labels: np.ndarray) -> np.ndarray:
    """(n + 1,) share of its convex hull that each label fills, 0 for label 0; hulls go around whole pixels."""
    found = np.zeros(int(labels.max(initial=0)) + 1)
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            found[label] = _solidity(labels[box] == label)
    return found


def _solidity(mask: np.ndarray) -> float:
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - mask[rows, ::-1].argmax(axis=1)  # ends of each row
    corners = np.concatenate([np.column_stack([x, rows + down]) for x in (first, last) for down in (0, 1)])
    return float(mask.sum() / cv2.contourArea(cv2.convexHull(corners.astype(np.int32))))


def _parted(solid: np.ndarray, depth: np.ndarray, *, apart_px: float) -> np.ndarray:
    """Labels of the nuclei in a mask, clumps parted by a watershed on the distance to the border, `depth`."""
    side = 2 * max(1, round(apart_px)) + 1
    peak = (depth == cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))) & solid
    seeds = cv2.connectedComponents(peak.astype(np.uint8))[1]
    return watershed(-depth, seeds, mask=solid)


def _rim_contrast(labels: np.ndarray, dye: np.ndarray, *, rim_px: float) -> np.ndarray:
    """(n + 1,) how much darker each label is than its rim, in parts of what the upper quartile has over the rest.

    A label without a rim of its own, inside a clump, is taken to be clear.
    """
    number = int(labels.max(initial=0)) + 1
    side = 2 * max(1, round(rim_px)) + 1
    grown = cv2.dilate(labels.astype(np.float32), np.ones((side, side), np.uint8)).astype(np.int32)
    rims = np.where(labels == 0, grown, 0)
    inside, rim = (
        np.bincount(places.ravel(), dye.ravel(), number) / np.maximum(np.bincount(places.ravel(), minlength=number), 1)
        for places in (labels, rims)
    )
    if number == 1:
        return np.zeros(1)
    usual = np.percentile(inside[1:], 75) - (np.median(dye[labels == 0]) if (labels == 0).any() else 0)
    alone = np.bincount(rims.ravel(), minlength=number) >= side
    return np.where(alone, (inside - rim) / max(usual, 1e-6), np.inf)


def _kept(mask: np.ndarray, *, least_px: float) -> np.ndarray:
    """The connected pieces of a mask that are at least this large."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return large[labels]


def _renumbered(labels: np.ndarray, *, kept: np.ndarray) -> np.ndarray:
    kept = kept.copy()
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]
