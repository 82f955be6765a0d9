"""From amounts of stain to the picture a scanner takes.

Beer-Lambert: each stain takes light away in proportion to its amount, OD = Σ_s amount_s · vector_s per colour, and the
intensity is I = glass · 10^(−OD) (Ruifrok and Johnston 2001 use the same law to take stains apart).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import Scanner
from virtual_cohort.rendering.artefacts import Artefact, spoil

STAMP = 1024
SHARPENING = 1.3  # what scanners add of the difference to a blurred copy
cv2.setNumThreads(1)  # one process paints one slide; several threads in each would only stand in each other's way


@dataclass(frozen=True)
class Dyes:
    """`weights` (3, 4): log intensity per colour by amount of haematoxylin, eosin, saffron, and of empty glass."""

    weights: np.ndarray
    saffron: bool

    @classmethod
    def of(cls, scanner: Scanner, *, batch: np.ndarray) -> Dyes:
        """Stain vectors of a scanner times the (3,) factors of this slide's staining batch."""
        vectors = np.array([scanner.haematoxylin, scanner.eosin, scanner.saffron]) * batch[:, None]
        weights = np.column_stack([-np.log(10) * vectors.T, np.log(scanner.glass)])
        return cls(weights.astype(np.float32), any(scanner.saffron))

    def light(self, haematoxylin: np.ndarray, *, eosin: np.ndarray, saffron: np.ndarray | None) -> np.ndarray:
        """Intensity (h, w, 3) uint8 behind amounts (h, w) float32 >= 0 of the stains; 1 is a strong stain."""
        if saffron is None:
            log = cv2.transform(cv2.merge([haematoxylin, eosin]), self.weights[:, [0, 1, 3]])
        else:
            log = cv2.transform(cv2.merge([haematoxylin, eosin, saffron]), self.weights)
        return cv2.convertScaleAbs(cv2.exp(log))


def optics(
    light: np.ndarray, *, scanner: Scanner, generator: np.random.Generator, artefact: Artefact | None = None
) -> np.ndarray:
    """What the scanner makes of it: blur, sharpening, an artefact over all that, noise.

    Args:
        light: (h, w, 3) uint8 behind the slide.
        scanner: blur and noise.
        generator: sensor noise.
        artefact: laid over what the optics see.
    """
    picture = seen_by(light, scanner=scanner)
    if artefact is not None:
        picture = spoil(picture, artefact=artefact, scanner=scanner)
    for top in range(0, picture.shape[0], STAMP):
        for left in range(0, picture.shape[1], STAMP):
            add_noise(
                picture[top : top + STAMP, left : left + STAMP],
                scale=scanner.noise,
                origin=tuple(generator.integers(STAMP, size=2)),
            )
    return picture


def seen_by(light: np.ndarray, *, scanner: Scanner) -> np.ndarray:
    """(h, w, 3) uint8 after the blur of the optics and the scanner's sharpening."""
    seen = _blurred(light, sigma=scanner.blur_um / scanner.mpp)
    wide = _blurred(seen, sigma=0.6 / scanner.mpp)
    return cv2.addWeighted(seen, 1 + SHARPENING, wide, -SHARPENING, 0)


def _blurred(light: np.ndarray, *, sigma: float) -> np.ndarray:
    """Gaussian blur, `sigma` in px, cut off where a byte no longer notices."""
    side = 2 * int(2.3 * sigma + 0.4) + 1
    return cv2.GaussianBlur(light, (side, side), sigma)


@functools.lru_cache(maxsize=4)
def _noise(scale: float) -> np.ndarray:
    """Grey-level noise (STAMP, STAMP, 3) int16, drawn once: drawing it anew for each slide costs more than the rest."""
    return np.rint(rng(0, "sensor noise").normal(0, scale, (STAMP, STAMP, 3))).astype(np.int16)


def add_noise(block: np.ndarray, *, scale: float, origin: tuple[int, int]) -> None:
    """Add the stamp of noise, moved by `origin` (rows, columns), to a block of at most (STAMP, STAMP, 3), in place."""
    stamp = _noise(scale)
    for down, above in _halves(block.shape[0], origin[0]):
        for right, beside in _halves(block.shape[1], origin[1]):
            part = block[down, right]
            part[:] = cv2.add(part, stamp[above, beside], dtype=cv2.CV_8U)


def _halves(size: int, shift: int) -> list[tuple[slice, slice]]:
    """Places in a block and in the stamp that fall on each other when the stamp is rolled by `shift`."""
    shift = int(shift)
    early, late = min(shift, size), max(size - shift, 0)
    pairs = [(slice(0, early), slice(STAMP - shift, STAMP - shift + early)), (slice(early, size), slice(0, late))]
    return [pair for pair in pairs if pair[0].stop > pair[0].start]
