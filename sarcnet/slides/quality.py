"""Is this tile worth showing to an encoder? Two modest questions, asked of the pixels at the tile's own resolution."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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


def blank_share(tile: np.ndarray, *, level: int = 225) -> float:
    """Share of pixels as bright as empty glass in every channel: fat, tears and white that the coarse mask let pass.

    Args:
        tile: (h, w, 3) uint8.
        level: a pixel whose darkest channel is brighter than this counts as glass.
    """
    return float((tile.min(axis=-1) > level).mean())
