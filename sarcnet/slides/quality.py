"""Is this tile worth showing to an encoder? Two modest questions, asked of its pixels at 1 µm/px.

At that resolution blur of a micrometre, half a chromatin clump, still tells, the answer does not depend on how fine
a tile the encoder wants, and a quarter of the pixels has to be decoded.
"""

from __future__ import annotations

import numpy as np

from sarcnet.slides.reader.units import Mpp

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
QUALITY_MPP = Mpp(1.0)
NEAR_GLASS = 0.92


def sharpness(tile: np.ndarray) -> float:
    """Variance of the Laplacian of the grey tile, in grey levels squared (Pech-Pacheco 2000).

    The Laplacian answers to edges only: out of focus it falls by an order of magnitude. Its value depends on scanner,
    stain and compression, so a threshold must be looked at for each laboratory; the report keeps the value of every
    tile.

    Args:
        tile: (h, w, 3) uint8.
    """
    grey = tile.astype(np.float32) @ _LUMA  # (h, w)
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )  # (h - 2, w - 2)
    return float(laplacian.var())


def blank_share(tile: np.ndarray, *, glass: np.ndarray) -> float:
    """Share of pixels about as bright as empty glass: fat, tears and white that the coarse mask let pass.

    Args:
        tile: (h, w, 3) uint8.
        glass: (3,) RGB of this slide's empty glass; a pixel within 8 % of it in every channel counts.
    """
    red, green, blue = (tile[..., c] > NEAR_GLASS * glass[c] for c in range(3))
    return float((red & green & blue).mean())
