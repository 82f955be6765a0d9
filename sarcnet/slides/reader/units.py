"""Units as types: what is a micrometre, a pixel of the slide, a pixel of a tile.

Most mistakes with whole slides are mistakes of unit. Every length in `sarcnet.slides` therefore carries one of these
types, and every function names its frame: a type checker refuses tile pixels where micrometres are asked.
"""

from __future__ import annotations

from typing import NewType

Um = NewType("Um", float)
"""A length on the glass, in micrometres."""

Mpp = NewType("Mpp", float)
"""Micrometres per pixel: how much glass one pixel covers."""

Level0Px = NewType("Level0Px", float)
"""A length or position in pixels of the slide's finest level, the frame that all tools share for coordinates."""

LevelPx = NewType("LevelPx", float)
"""A length or position in pixels of one named pyramid level."""

TilePx = NewType("TilePx", int)
"""A length in pixels of the tile that the encoder sees."""


def um_per_px(length: Um, pixels: TilePx) -> Mpp:
    """The resolution at which `length` micrometres fill `pixels` pixels: 112 µm on 224 px is 0.5 µm/px."""
    return Mpp(length / pixels)


def to_level0(length: Um, mpp: Mpp) -> Level0Px:
    """A length in pixels of the finest level; not rounded, because rounding here is an error in µm/px."""
    return Level0Px(length / mpp)
