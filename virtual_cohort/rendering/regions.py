"""The map of what lies where on a slide, kept beside the truth about its nuclei.

A map is a grey PNG, one pixel for a square of `GRID_UM` of the slide, row 0 at the top; pixel (row, column) covers
x = column · GRID_UM to (column + 1) · GRID_UM from the slide's left edge. Its values are places in
`virtual_cohort.rendering.layout.REGIONS`: glass, tumour, septum, myxoid, necrosis, fat, muscle, inflammation, vessel. The file
says so itself, in its text entries `regions` and `um_per_px`. What a tear took away and a blank slide are glass.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, PngImagePlugin

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from virtual_cohort.rendering.layout import GLASS, GRID_UM, REGIONS


def write_regions(path: Path, *, region: np.ndarray) -> None:
    """Write (h, w) uint8 places in REGIONS; the same map gives the same bytes."""
    text = PngImagePlugin.PngInfo()
    text.add_text("regions", ",".join(REGIONS))
    text.add_text("um_per_px", f"{GRID_UM:g}")
    with atomic_path(path) as part:
        Image.fromarray(region.astype(np.uint8)).save(part, format="png", pnginfo=text)


def read_regions(path: Path) -> np.ndarray:
    """The map (h, w) uint8 at GRID_UM.

    Raises:
        SarcnetError: the file was written with other regions or at another scale.
    """
    with Image.open(path) as image:
        said = (image.info.get("regions"), image.info.get("um_per_px"))
        region = np.asarray(image)
    if said != (",".join(REGIONS), f"{GRID_UM:g}"):
        raise SarcnetError(
            f"{path.name} is a map of the regions {said[0]} at {said[1]} µm/px; this version reads {', '.join(REGIONS)} "
            f"at {GRID_UM:g} µm/px. Run notebook 00 again."
        )
    return region


def region_shares(region: np.ndarray) -> pd.Series:
    """Share of the tissue (all that is not glass) by region; zero for each region of a slide without tissue."""
    counts = np.bincount(region.ravel(), minlength=len(REGIONS)).astype(float)
    counts[GLASS] = 0
    return pd.Series(counts / max(counts.sum(), 1), index=list(REGIONS)).drop("glass")
