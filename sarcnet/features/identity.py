"""What shapes the features of a slide: its tiles and the parameters, as keys and as attributes of its feature file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sarcnet.compendium.cache_keys import code_key, file_key, unit_key
from sarcnet.features.encoders.runtime import EncoderRuntime
from sarcnet.slides.reader import resampling

if TYPE_CHECKING:
    from sarcnet.features.settings import FeaturesSettings

CODE = ("sarcnet.features.extraction",)  # what makes the features of a slide, with all that it imports


@dataclass(frozen=True)
class SlideTiles:
    """One slide's work: its file, µm/px as settled by notebook 01 and who said so, and its kept tiles (tile, x_px,
    y_px).
    """

    slide_id: str
    path: Path
    mpp: float
    tiles: pd.DataFrame
    mpp_source: str = "not recorded"


@dataclass(frozen=True)
class Extraction:
    """What shapes the features of a cohort: the tile, how many of a slide at most, how many in one call of the
    encoder.
    """

    tile_um: float
    tile_px: int
    tiles_max: int
    batch_tiles: int

    @classmethod
    def of(cls, settings: FeaturesSettings, *, tile_um: float, tile_px: int) -> Extraction:
        """From notebook 02's settings and the tiles that notebook 01 cut."""
        return cls(tile_um, tile_px, settings.tiles_per_slide_max, settings.batch_tiles)


def tile_key(slide: SlideTiles, *, encoder: EncoderRuntime, extraction: Extraction) -> str:
    """Key of all that shapes the features of a tile besides its place: contents of the slide file, µm/px, size of the
    tile, encoder's weights and settings, libraries and code. Which tiles are encoded with it does not matter, nor how
    many at once."""
    network = encoder.encoder
    hub = network.hub and (network.hub.library, dict(network.hub.options), network.hub.swiglu)
    return unit_key(
        {
            "file": file_key(slide.path),
            "mpp": slide.mpp,
            "tile": (extraction.tile_um, extraction.tile_px),
            "encoder": encoder.identity,
            "network": (network.mean, network.std, network.pooling, hub),
            "resampled_by": resampling.RESAMPLED_BY,
            "code": code_key(*CODE),
        }
    )


def feature_key(slide: SlideTiles, chosen: pd.DataFrame, *, tile_key: str) -> str:
    """Key of one slide's file: the key of its tiles' features, which tiles they are, and who gave the µm/px."""
    places = np.column_stack([chosen[name] for name in ("tile", "x_px", "y_px")]).astype(np.int64)  # (n, 3)
    return unit_key({"each": tile_key, "tiles": digest(places), "mpp_source": slide.mpp_source})


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(array.tobytes()).hexdigest()


def file_attributes(
    slide: SlideTiles, *, key: str, tile_key: str, encoder: EncoderRuntime, extraction: Extraction
) -> dict[str, object]:
    """Attributes of a feature file: whose tiles, by which network, at which µm/px, and its keys."""
    return {
        "slide_id": slide.slide_id,
        "key": key,
        "tile_key": tile_key,
        "encoder": encoder.encoder.name,
        "encoder_identity": " ".join(encoder.identity),
        "tile_um": extraction.tile_um,
        "tile_px": extraction.tile_px,
        "mpp": extraction.tile_um / extraction.tile_px,
        "mpp_level0": slide.mpp,
        "mpp_source": slide.mpp_source,
        "patch_size_level0": extraction.tile_um / slide.mpp,
    }


def coords_attributes(slide: SlideTiles, *, extraction: Extraction) -> dict[str, object]:
    """What TRIDENT's readers ask of `coords`. Magnification there stands for 10 / (µm/px), here without rounding."""
    return {
        "name": slide.slide_id,
        "patch_size": extraction.tile_px,
        "patch_size_level0": round(extraction.tile_um / slide.mpp),
        "level0_magnification": 10 / slide.mpp,
        "target_magnification": 10 * extraction.tile_px / extraction.tile_um,
        "overlap": 0,
    }
