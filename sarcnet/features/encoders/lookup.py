"""Finding an encoder by its name, and telling whether tiles suit it."""

from __future__ import annotations

import difflib

from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.encoders.catalogue import ENCODERS
from sarcnet.features.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder

__all__ = ["ENCODERS", "IMAGENET_MEAN", "IMAGENET_STD", "Encoder", "encoder_named", "resolution_notes"]

MPP_TOLERANCE = 0.05  # relative; encoders are trained on scanners that differ by as much


def encoder_named(name: str) -> Encoder:
    """Look an encoder up.

    Args:
        name: as in docs/encoders.md.

    Returns:
        The encoder.

    Raises:
        SarcnetError: there is none of this name; the message names the nearest.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    near = difflib.get_close_matches(name, ENCODERS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(ENCODERS)}."
    raise SarcnetError(f"There is no encoder named '{name}'; {hint}")


def resolution_notes(encoder: Encoder, *, tile_px: int, mpp: float) -> list[str]:
    """Sentences about tiles that the encoder was not made for; empty where all is well.

    Args:
        encoder: the encoder.
        tile_px: side of a tile, px.
        mpp: resolution of the tiles, µm/px.

    Returns:
        At most one sentence per doubt.

    Raises:
        SarcnetError: the tile has another number of pixels than the network takes.
    """
    if tile_px != encoder.tile_px:
        raise SarcnetError(
            f"{encoder.name} takes tiles of {encoder.tile_px} px, but notebook 01 cut tiles of {tile_px} px: "
            f"set tile_px to {encoder.tile_px} and run 01_tiling again."
        )
    if encoder.mpp is None:
        return []
    low, high = encoder.mpp, encoder.mpp_max or encoder.mpp
    if low * (1 - MPP_TOLERANCE) <= mpp <= high * (1 + MPP_TOLERANCE):
        return []
    trained = f"{low:g}" if high == low else f"{low:g} to {high:g}"
    nearest = low if mpp < low else high
    return [
        f"{encoder.name} was trained at {trained} µm/px but sees tiles at {mpp:g} µm/px: its features may be worth less. "
        f"tile_um = {nearest * tile_px:g} would match."
    ]
