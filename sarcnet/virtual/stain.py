"""From amounts of stain to the picture a scanner takes.

Beer-Lambert: each stain takes light away in proportion to its amount, OD = Σ_s amount_s · vector_s per colour, and the
intensity is I = glass · 10^(−OD) (Ruifrok and Johnston 2001 use the same law to take stains apart).
"""

from __future__ import annotations

import functools

import numpy as np
import pyvips

from sarcnet.compendium.seeds import rng
from sarcnet.virtual.artefacts import Artefact, spoil
from sarcnet.virtual.centres import Scanner

STAMP = 1024
ROWS = 64
_LN10 = np.float32(np.log(10))


def scan(
    amounts: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    *,
    scanner: Scanner,
    dye: np.ndarray,
    generator: np.random.Generator,
    artefact: Artefact | None = None,
) -> np.ndarray:
    """Picture of a field.

    Args:
        amounts: haematoxylin, eosin, saffron, each (h, w) float32 >= 0; 1 is a strong stain, None is no saffron.
        scanner: stain vectors, glass, blur and noise.
        dye: (3,) factors of this slide's staining batch.
        generator: sensor noise.
        artefact: laid over what the optics see.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    vectors = np.array([scanner.haematoxylin, scanner.eosin, scanner.saffron], np.float32) * dye[:, None].astype(
        np.float32
    )
    height, width = amounts[0].shape
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS):  # in bands that stay in the processor's cache
        bands = [(k, amount[top : top + ROWS]) for k, amount in enumerate(amounts) if amount is not None]
        for channel in range(3):
            od = np.zeros_like(bands[0][1])
            for k, amount in bands:
                od += amount * vectors[k, channel]
            np.exp(od * -_LN10, out=od)
            picture[top : top + ROWS, :, channel] = od * np.float32(scanner.glass[channel])
    picture = _blur(picture, sigma=scanner.blur_um / scanner.mpp)
    if artefact is not None:
        picture = spoil(picture.copy(), artefact=artefact, scanner=scanner)
    return _add_noise(picture, scale=scanner.noise, generator=generator)


def _blur(picture: np.ndarray, *, sigma: float) -> np.ndarray:
    return pyvips.Image.new_from_array(picture).gaussblur(sigma, precision="integer").numpy()


@functools.lru_cache(maxsize=4)
def _noise(scale: float) -> np.ndarray:
    """Grey-level noise (STAMP, STAMP, 3) int16, drawn once: drawing it anew for each slide costs more than the rest."""
    return np.rint(rng(0, "sensor noise").normal(0, scale, (STAMP, STAMP, 3))).astype(np.int16)


def _add_noise(picture: np.ndarray, *, scale: float, generator: np.random.Generator) -> np.ndarray:
    """Add noise block by block, each from another origin of the stamp."""
    noisy = np.empty_like(picture)
    for top in range(0, picture.shape[0], STAMP):
        for left in range(0, picture.shape[1], STAMP):
            block = picture[top : top + STAMP, left : left + STAMP]
            stamp = np.roll(_noise(scale), generator.integers(STAMP, size=2), axis=(0, 1))
            sum_ = block + stamp[: block.shape[0], : block.shape[1]]
            noisy[top : top + STAMP, left : left + STAMP] = np.clip(sum_, 0, 255)
    return noisy
