"""From amounts of stain to the picture a scanner takes.

Beer-Lambert: each stain takes light away in proportion to its amount, OD = Σ_s amount_s · vector_s per colour, and the
intensity is I = glass · 10^(−OD) (Ruifrok and Johnston 2001 use the same law to take stains apart).
"""

from __future__ import annotations

import numpy as np
import pyvips

from sarcnet.virtual.centres import Scanner

_LN10 = np.float32(np.log(10))


def scan(
    amounts: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    scanner: Scanner,
    dye: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Picture of a field.

    Args:
        amounts: haematoxylin, eosin, saffron, each (h, w) float32; 1 is a strong stain.
        scanner: stain vectors, glass, blur and noise.
        dye: (3,) factors of this slide's staining batch.
        generator: sensor noise.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    vectors = np.array([scanner.haematoxylin, scanner.eosin, scanner.saffron], np.float32) * dye[:, None].astype(
        np.float32
    )
    height, width = amounts[0].shape
    picture = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        od = sum(amount * vectors[s, channel] for s, amount in enumerate(amounts) if vectors[s, channel] > 0)  # (h, w)
        picture[..., channel] = np.float32(scanner.glass[channel]) * np.exp(-_LN10 * od)
    blurred = _blur(picture, sigma=scanner.blur_um / scanner.mpp)
    return _add_noise(blurred, scale=scanner.noise, generator=generator)


def _blur(picture: np.ndarray, *, sigma: float) -> np.ndarray:
    image = pyvips.Image.new_from_array(picture).gaussblur(sigma, precision="integer")
    return image.numpy()


def _add_noise(picture: np.ndarray, *, scale: float, generator: np.random.Generator) -> np.ndarray:
    """Add grey-level noise from a stamp of 512 rows that is shifted from block to block: drawing it anew costs more
    than all the rest."""
    height, width = picture.shape[:2]
    stamp = np.rint(generator.normal(0, scale, (512, width + 512, 3))).astype(np.int16)
    for top in range(0, height, 512):
        shift = int(generator.integers(512))
        block = picture[top : top + 512]  # (<= 512, w, 3)
        noisy = block + stamp[: len(block), shift : shift + width]
        picture[top : top + 512] = np.clip(noisy, 0, 255)
    return picture
