"""Textures that are made once and then only looked up: fibres in every direction, chromatin, granules.

All are periodic, so that they repeat without a seam; a slide looks at them from an origin of its own.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter

from sarcnet.compendium.seeds import rng

SIDE = 512  # px, a power of two
DIRECTIONS = 18  # steps of 10 degrees
LEVELS = 40.0  # steps of a byte for one standard deviation


@functools.lru_cache(maxsize=2)
def fibres(mpp: float) -> np.ndarray:
    """Two textures for each direction, (DIRECTIONS · SIDE · SIDE,) uint16 for one look-up.

    The low byte holds fibrils (about 0.8 µm thick, 8 µm long), the high byte bundles and clefts (4 µm thick, 45 µm
    long); each is 128 + LEVELS · z, with z of mean 0 and deviation 1.
    """
    generator = rng(0, "fibres")
    noises = [fft.rfft2(generator.standard_normal((SIDE, SIDE)).astype(np.float32)) for _ in range(2)]
    v, u = np.meshgrid(fft.fftfreq(SIDE), fft.rfftfreq(SIDE), indexing="ij")
    table = np.empty((DIRECTIONS, SIDE, SIDE), np.uint16)
    for k in range(DIRECTIONS):
        cos, sin = np.cos(np.pi * k / DIRECTIONS), np.sin(np.pi * k / DIRECTIONS)
        along, across = u * cos + v * sin, v * cos - u * sin
        fibril = _byte(noises[0], along=along * 3.2 / mpp, across=across * 0.38 / mpp)
        bundle = _byte(noises[1], along=along * 13.0 / mpp, across=across * 1.5 / mpp)
        table[k] = fibril | (bundle << 8)
    return table.ravel()


def _byte(noise: np.ndarray, *, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Gaussian filter in the Fourier domain; `along`, `across`: frequency times deviation."""
    field = fft.irfft2(noise * np.exp(-2 * np.pi**2 * (along**2 + across**2)).astype(np.float32), s=(SIDE, SIDE))
    return np.clip(np.rint(128 + LEVELS * field / field.std()), 0, 255).astype(np.uint16)


@functools.lru_cache(maxsize=2)
def chromatin(mpp: float) -> np.ndarray:
    """(SIDE, SIDE) float32, deviation 1: grains of about 0.6 µm and clumps of about 2 µm."""
    generator = rng(0, "chromatin")
    layers = [
        gaussian_filter(generator.standard_normal((SIDE, SIDE)).astype(np.float32), um / mpp, mode="wrap")
        for um in (0.30, 0.75)
    ]
    both = sum(layer / layer.std() for layer in layers)
    return (both / both.std()).astype(np.float32)


def looked_at(stamp: np.ndarray, *, width: int, origin: tuple[int, int]) -> np.ndarray:
    """A stamp (SIDE, SIDE) rolled to `origin` and repeated to `width`: (SIDE, width)."""
    rolled = np.roll(stamp, origin, axis=(0, 1))
    return np.tile(rolled, (1, -(-width // SIDE)))[:, :width]
