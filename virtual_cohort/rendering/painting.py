"""Painting one slide of a virtual cohort to order, with the truth about it.

A slide is kept under the key of this code and of all that it imports; who the patients are and how they fare is no part
of it, since whatever of that shows on a slide stands in its order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pyvips

from sarcnet.compendium.cache_keys import code_key, unit_key
from sarcnet.compendium.files import atomic_path
from virtual_cohort.patients.centres import Scanner
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.artefacts import Artefact
from virtual_cohort.rendering.pyramid import write_svs, write_tiff
from virtual_cohort.rendering.regions import write_regions
from virtual_cohort.rendering.render import render_slide

SVS, TIFF = "svs", "tiff"  # Aperio-style, and plain tiled pyramid
CODE = ("virtual_cohort.rendering.painting",)  # what paints a slide, with all that it imports


@dataclass(frozen=True)
class SlideOrder:
    """One slide to paint: all that shapes it, and where it goes."""

    slide_id: str
    patient_id: str
    centre: str
    look: Look
    scanner: Scanner
    seed: int
    width_um: float
    height_um: float
    artefact: Artefact | None = None
    stain_strength: float = 1.0
    container: str = SVS

    def key(self) -> str:
        """Name of the result: every parameter and the painting code."""
        return unit_key({"order": asdict(self), "code": code_key(*CODE)})


def paint(order: SlideOrder, *, slide: Path, truth: Path, regions: Path) -> None:
    """Write the slide, the table of its nuclei and the map of its regions to these paths, each whole or not at all."""
    pyvips.cache_set_max(0)  # a slide is never opened twice here; keep memory flat
    made = render_slide(
        order.seed,
        slide_id=order.slide_id,
        look=order.look,
        scanner=order.scanner,
        width_um=order.width_um,
        height_um=order.height_um,
        artefact=order.artefact,
        stain_strength=order.stain_strength,
    )
    scanner, picture = order.scanner, made.picture
    if order.container == TIFF:
        write_tiff(slide, picture=picture, mpp=scanner.mpp, quality=scanner.jpeg_quality)
    else:
        name = f"VIRTUAL-{order.centre}"
        write_svs(slide, picture=picture, mpp=scanner.mpp, quality=scanner.jpeg_quality, scanner_name=name)
    with atomic_path(truth) as part:
        made.truth().to_parquet(part, index=False)
    write_regions(regions, region=made.layout.region)
