"""How much of each dye lies in a pixel: optical density taken apart into haematoxylin, eosin and a rest.

Light that passes a dye is weakened by a factor, so densities add: OD = -log10(I / I0) = c_H·H + c_E·E + c_R·R with the
colours H, E, R of the dyes as unit vectors over red, green, blue (Ruifrok and Johnston, Anal Quant Cytol Histol
2001;23:291-299). Their published colours are a fair start for any laboratory. The colours of one slide are found from
its own pixels by the method of Macenko et al., ISBI 2009, doi:10.1109/ISBI.2009.5193250: in the plane that holds most
of the densities, haematoxylin and eosin are the two ends of the fan of directions. What neither explains, saffron for
one, goes to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.color import rgb_from_hed

STAINS = ("haematoxylin", "eosin", "rest")
OD_MIN = 0.15  # of the mean over channels; Macenko's β, below which a pixel is glass
END_PERCENT = 1.0  # Macenko's α: how far from the utmost direction an end is taken
PIXELS_MIN = 500  # stained pixels that an estimate needs
TILT_MAX_DEGREES = 25.0  # between the haematoxylin found and the published one; further off it was not haematoxylin
APART_MIN_DEGREES = 10.0  # between both dyes; closer together they cannot be told apart
EOSIN_RED_MAX = (
    0.3  # red part of eosin's colour; an "eosin" that holds back more red is pale haematoxylin, and there is none
)
#: OD of each 8-bit grey level, one grey level added so that black stays finite.
OD_OF_LEVEL = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)


@dataclass(frozen=True)
class Stains:
    """Colours of haematoxylin, eosin and the rest, (3, 3) unit rows over red, green, blue, and where they come from."""

    colours: np.ndarray
    source: str  # "Macenko" from the slide's own pixels, or "Ruifrok", the published ones

    def densities(self, picture: np.ndarray) -> np.ndarray:
        """OD by dye, (h, w, 3) float32 in the order of STAINS, of an RGB picture (h, w, 3) uint8; noise may dip below 0."""
        return OD_OF_LEVEL[picture] @ np.linalg.inv(self.colours).astype(np.float32)

    def haematoxylin(self, picture: np.ndarray) -> np.ndarray:
        """OD of haematoxylin alone, (h, w) float32: a third of the work."""
        return OD_OF_LEVEL[picture] @ np.linalg.inv(self.colours)[:, 0].astype(np.float32)


def published_stains() -> Stains:
    """The colours of Ruifrok and Johnston for haematoxylin and eosin, as scikit-image keeps them."""
    return Stains(_with_rest(rgb_from_hed[0], rgb_from_hed[1]), "Ruifrok")


def estimated_stains(pixels: np.ndarray) -> Stains:
    """The dyes' colours in these pixels (n, 3) uint8 RGB, best taken from many tiles of one slide.

    Falls back on the published colours, and says so in `source`, when fewer than PIXELS_MIN pixels are stained, when
    both dyes lie closer than APART_MIN_DEGREES, when haematoxylin is further than TILT_MAX_DEGREES from the published, or
    when what would be eosin holds back red (EOSIN_RED_MAX), as in a picture with haematoxylin alone.
    """
    published = published_stains()
    od = OD_OF_LEVEL[pixels.reshape(-1, 3)].astype(np.float64)
    od = od[(od > OD_MIN / 3).all(axis=1) & (od.mean(axis=1) > OD_MIN)]
    if len(od) < PIXELS_MIN:
        return published
    _, vectors = np.linalg.eigh(np.cov(od.T))
    plane = vectors[:, [2, 1]] * np.where(vectors[:, [2, 1]].sum(axis=0) < 0, -1, 1)
    fan = od @ plane
    angles = np.arctan2(fan[:, 1], fan[:, 0])
    ends = [plane @ [np.cos(a), np.sin(a)] for a in np.percentile(angles, [END_PERCENT, 100 - END_PERCENT])]
    ends = [end / np.linalg.norm(end) for end in (np.maximum(end, 0) for end in ends)]
    ends.sort(key=lambda end: -_cosine(end, published.colours[0]))
    haematoxylin, eosin = ends
    tilted = _degrees(haematoxylin, published.colours[0]) > TILT_MAX_DEGREES
    if tilted or _degrees(*ends) < APART_MIN_DEGREES or eosin[0] > EOSIN_RED_MAX:
        return published
    return Stains(_with_rest(haematoxylin, eosin), "Macenko")


def _with_rest(haematoxylin: np.ndarray, eosin: np.ndarray) -> np.ndarray:
    rest = np.cross(haematoxylin, eosin)
    return np.stack([row / np.linalg.norm(row) for row in (haematoxylin, eosin, rest)])


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def _degrees(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(_cosine(one, other), -1, 1))))
