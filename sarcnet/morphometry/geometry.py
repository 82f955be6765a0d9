"""Where the tiles of a slide lie: µm/px, side on the glass and on the screen, as the feature file states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.slides.reader.units import Level0Px, Mpp, TilePx, Um, to_level0


@dataclass(frozen=True)
class TileGeometry:
    """Of one slide: µm per level-0 pixel, and the side of its tiles in µm and in pixels of the encoder."""

    mpp: Mpp
    tile_um: Um
    tile_px: TilePx

    @property
    def size_px(self) -> Level0Px:
        """Side of a tile in level-0 pixels, a fraction included."""
        return to_level0(self.tile_um, self.mpp)


def tile_geometry(feature_files: Mapping[str, Path]) -> dict[str, TileGeometry]:
    """Where the tiles of each slide lie, from the attributes mpp_level0, tile_um and tile_px of its feature file.

    Args:
        feature_files: paths of the HDF5 files by slide_id.

    Returns:
        Geometry by slide_id.

    Raises:
        SarcnetError: naming every file that lacks one of them.
    """
    faults = ErrorCollector()
    found = {}
    for slide_id, path in feature_files.items():
        with h5py.File(path, "r") as file:
            lacking = [name for name in ("mpp_level0", "tile_um", "tile_px") if name not in file.attrs]
            if not lacking:
                attrs = file.attrs
                found[slide_id] = TileGeometry(
                    Mpp(float(attrs["mpp_level0"])), Um(float(attrs["tile_um"])), TilePx(int(attrs["tile_px"]))
                )
        if lacking:
            faults.add(f"{path.name} does not state {', '.join(lacking)}: run 02_features again.")
    faults.raise_if_any("The tiles cannot be placed on their slides")
    return found
