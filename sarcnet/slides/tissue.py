"""Where is tissue? Found on one thumbnail from how much light the stain takes away.

Optical density, OD = -log10(I / I of glass), grows with the amount of stain (Beer-Lambert) and is near 0 on empty
glass. Green is the channel that haematoxylin and eosin both absorb. Two thresholds (Canny 1986, hysteresis): Otsu's
(1979) finds what is stained beyond doubt, held within bounds, because on a slide that is all tissue or all glass Otsu
would separate tissue from tissue or dust from dust; from there the mask grows over everything connected that is denser
than glass. Otsu's threshold alone loses myxoid stroma, which is pale and for some sarcomas most of the tumour. Shadow
and dust are grey: a little colour is required. Morphology in micrometres then removes specks and fills small gaps;
large holes (a vessel, fat torn out) stay holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, threshold_otsu
from skimage.morphology import closing, disk, opening, remove_small_holes, remove_small_objects

from sarcnet.slides.reader.thumbnail import Thumbnail
from sarcnet.slides.reader.units import Um

SEED_OD_BOUNDS = (0.06, 0.15)  # pale eosin starts near 0.06; anything above 0.15 in green is stained beyond doubt
GROWN_OD = 0.08  # on simulated slides 94 % of myxoid stroma is denser, and 99 % of glass away from tissue is below 0.01
SATURATION_MIN = 0.06  # (max - min) / max over RGB; glass, dust and shadow are grey
SMOOTH_UM = Um(4.0)  # standard deviation of the blur before thresholding: a wider one spreads stain over glass
SPECK_UM = Um(12.0)  # radius of the opening: thinner threads and dust vanish
GAP_UM = Um(24.0)  # radius of the closing: cracks between fibres belong to the tissue
OBJECT_MM2 = 0.02  # smaller islands are debris (0.02 mm² is less than two tiles of 112 µm)
HOLE_MM2 = 0.02  # smaller holes are filled; a tile missing from the file is one, so that it is tried and counted
GLASS_MIN = 200.0  # grey level; glass darker than this is a bad scan, not glass
BLACK_OD = 0.7  # all three channels at once: ink; at thumbnail resolution no nucleus is as black
INK_RATIO = 1.3  # red absorbed this much more than green: blue or green ink; in haematoxylin both are alike
INK_OD = 0.25
FOLD_LAYERS = 2.0  # times the optical density of the slide's usual tissue: light passes two layers (Beer-Lambert)
FOLD_RISE = 0.4  # of saturation minus luminance above that of the usual tissue


@dataclass(frozen=True)
class TissueMask:
    """All (h, w) at the thumbnail's resolution: `density` float OD of green, `stained` bool before morphology,
    `tissue` bool after it, `pen` bool, `fold` bool (see `_fold`); `glass` (3,) RGB of empty glass; `seed` the OD that
    a stained region exceeds somewhere, `threshold` the OD that it exceeds everywhere, `otsu` the one that Otsu
    proposed.
    """

    density: np.ndarray
    stained: np.ndarray
    tissue: np.ndarray
    pen: np.ndarray
    fold: np.ndarray
    glass: np.ndarray
    seed: float
    threshold: float
    otsu: float


def find_tissue(thumbnail: Thumbnail) -> TissueMask:
    """Mask of tissue and of pen marks on a thumbnail. An empty mask is a possible answer, not an error."""
    mpp = float(thumbnail.mpp)
    smooth = _smooth(thumbnail, sigma=SMOOTH_UM / mpp)  # (h, w, 3)
    glass = _glass(thumbnail)  # (3,)
    light = np.clip(smooth / glass, 1 / 256, 1.0)  # (h, w, 3), share of the light that glass lets through
    od = -np.log10(light)  # (h, w, 3)
    density = np.where(thumbnail.readable, od[..., 1], 0.0).astype(np.float32)
    otsu = float(threshold_otsu(density)) if np.ptp(density) > 0 else 0.0
    seed = float(np.clip(otsu, *SEED_OD_BOUNDS))
    threshold = min(seed, GROWN_OD)
    saturation = np.ptp(light, axis=-1) / light.max(axis=-1)
    pen = thumbnail.readable & (
        (od.min(axis=-1) > BLACK_OD) | ((od[..., 0] > INK_RATIO * od[..., 1]) & (od[..., 0] > INK_OD))
    )
    coloured = thumbnail.readable & (saturation > SATURATION_MIN)
    stained = apply_hysteresis_threshold(np.where(coloured, density, 0.0), threshold, seed)
    tissue = _clean(stained, mpp)
    fold = _fold(light, density, tissue=tissue & ~pen & (density > seed))
    return TissueMask(density, stained, tissue, pen, fold, glass, seed, threshold, otsu)


def _fold(light: np.ndarray, density: np.ndarray, *, tissue: np.ndarray) -> np.ndarray:
    """Where tissue probably lies double, (h, w) bool: much more saturated and darker than the slide's usual tissue.

    Saturation minus luminance is what Bautista and Yagi (2010, doi:10.4103/2153-3539.73320) and Kothari et al. (2013,
    doi:10.4103/2153-3539.117448) look at; the second condition, twice the usual optical density, is the physics of a
    double layer. Colour alone cannot tell a fold from tissue that is as dark by nature, so both bounds are set high:
    half of a fold is missed rather than a cellular tumour thrown away.

    Args:
        light: (h, w, 3) share of the light that glass lets through.
        density: (h, w) optical density of green.
        tissue: (h, w) bool, pen and pale stroma left out: beside a pale myxoid lobule any cellular tumour is twice as
            dense.
    """
    if not tissue.any():
        return tissue
    difference = np.ptp(light, axis=-1) / light.max(axis=-1) - light.mean(axis=-1)  # (h, w)
    darker = density > FOLD_LAYERS * np.median(density[tissue])
    return tissue & darker & (difference > np.median(difference[tissue]) + FOLD_RISE)


def _glass(thumbnail: Thumbnail) -> np.ndarray:
    """Colour of empty glass, (3,): the brightest one in a hundred pixels, since lamps and cameras tint white.
    Bounded from below, because a slide without any glass has no such pixel.
    """
    pixels = thumbnail.image[thumbnail.readable]  # (n, 3)
    brightest = np.percentile(pixels, 99, axis=0) if len(pixels) else np.full(3, 255.0)
    return np.clip(brightest, GLASS_MIN, 255.0)


def _smooth(thumbnail: Thumbnail, *, sigma: float) -> np.ndarray:
    """Gaussian blur over the readable pixels only, so that places without pixels darken nothing around them."""
    weight = ndimage.gaussian_filter(thumbnail.readable.astype(np.float32), sigma)  # (h, w)
    channels = [
        ndimage.gaussian_filter(np.where(thumbnail.readable, thumbnail.image[..., c], 0).astype(np.float32), sigma)
        for c in range(3)
    ]
    return np.where(weight[..., None] > 0.01, np.stack(channels, -1) / np.maximum(weight[..., None], 0.01), 255.0)


def _clean(mask: np.ndarray, mpp: float) -> np.ndarray:
    speck, gap = (max(1, round(radius / mpp)) for radius in (SPECK_UM, GAP_UM))
    padded = np.pad(mask, gap, mode="edge")  # otherwise the closing gnaws at tissue that leaves the picture
    padded = closing(opening(padded, disk(speck, decomposition="sequence")), disk(gap, decomposition="sequence"))
    cleaned = padded[gap:-gap, gap:-gap]
    px_per_mm2 = (1000 / mpp) ** 2
    cleaned = remove_small_objects(cleaned, max_size=round(OBJECT_MM2 * px_per_mm2))
    framed = np.pad(cleaned, 1)  # glass that the picture's edge cuts off from other glass is no hole
    return remove_small_holes(framed, max_size=round(HOLE_MM2 * px_per_mm2))[1:-1, 1:-1]
