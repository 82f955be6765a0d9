"""A heat map as a picture of its own, to lay over the slide in other programs.

PNG: colours, transparent where the model saw no tile; µm/px stands in the file (pHYs, pixels per metre). OME-TIFF: the values
themselves, float32, NaN where there is no tile, with PhysicalSizeX and PhysicalSizeY in µm as the OME schema of June 2016
wants them. Both begin at the top left corner of the slide.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pyvips
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.interpret.export.heatmap import HeatMap, coloured

INCH_UM, METRE_UM, CENTIMETRE_UM = 25_400.0, 1e6, 1e4


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
    values = np.ascontiguousarray(heatmap.values, np.float32)
    image = pyvips.Image.new_from_array(values).copy(xres=1000 / heatmap.mpp, yres=1000 / heatmap.mpp)  # px per mm
    image.set_type(
        pyvips.GValue.gstr_type, "image-description", ome_xml(values.shape, mpp=heatmap.mpp, name=heatmap.slide_id)
    )
    with atomic_path(path) as temporary:
        image.tiffsave(str(temporary), compression="deflate", tile=True, tile_width=256, tile_height=256, resunit="cm")
    return path


def ome_xml(shape: tuple[int, ...], *, mpp: float, name: str) -> str:
    """OME-XML of one float32 plane (h, w) of contributions."""
    size = f'SizeX="{shape[1]}" SizeY="{shape[0]}" SizeC="1" SizeZ="1" SizeT="1"'
    place = f'PhysicalSizeX="{mpp!r}" PhysicalSizeXUnit="µm" PhysicalSizeY="{mpp!r}" PhysicalSizeYUnit="µm"'
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{schema} {schema}/ome.xsd">'
        f'<Image ID="Image:0" Name={quoteattr(name)}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="float" {size} {place}>'
        '<Channel ID="Channel:0:0" Name="contribution (log-odds)" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )
