"""A heat map as a picture of its own, to lay over the slide in other programs.

PNG: colours, transparent where the model saw no tile; µm/px stands in the file (pHYs, pixels per metre). OME-TIFF: the values
themselves, float32, NaN where there is no tile, with PhysicalSizeX and PhysicalSizeY in µm as the OME schema of June 2016
wants them. Both begin at the top left corner of the slide.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.interpret.export.heatmap import HeatMap, coloured

INCH_UM, CENTIMETRE_UM = 25_400.0, 1e4


def write_overlay_png(path: Path, heatmap: HeatMap) -> Path:
    """Colours of the heat map as PNG, at the µm/px of its picture."""
    dpi = INCH_UM / heatmap.mpp
    with atomic_path(path) as temporary:
        Image.fromarray(coloured(heatmap.values, limit=heatmap.limit)).save(temporary, "PNG", dpi=(dpi, dpi))
    return path


def write_overlay_ome_tiff(path: Path, heatmap: HeatMap) -> Path:
    """Values of the heat map as a single-plane OME-TIFF, float32, deflate, named after the slide.

    Raises:
        SarcnetError: the name of the file does not end in .ome.tif or .ome.tiff, by which readers know the format.
    """
    if not path.name.endswith((".ome.tif", ".ome.tiff")):
        raise SarcnetError(f"{path.name} must end in .ome.tif, so that programs see that it is an OME-TIFF.")
    facts = {
        "axes": "YX", "Name": heatmap.slide_id, "Channel": {"Name": "contribution (log-odds)"},
        "PhysicalSizeX": float(heatmap.mpp), "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": float(heatmap.mpp), "PhysicalSizeYUnit": "µm",
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, heatmap.slide_id)),  # else a new one in each run
    }  # fmt: skip
    per_cm = CENTIMETRE_UM / heatmap.mpp
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, heatmap.values.astype(np.float32), ome=True, metadata=facts, compression="deflate", tile=(256, 256),
            resolution=(per_cm, per_cm), resolutionunit="CENTIMETER",
        )  # fmt: skip
    return path
