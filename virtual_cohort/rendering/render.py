"""A slide painted from its layout and nuclei: what lies where, then its outlines, then the light, then the scanner."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import Scanner
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.adipose import against_walls, draw_web, fat_web
from virtual_cohort.rendering.artefacts import BLANK, Artefact, torn, without_torn
from virtual_cohort.rendering.layout import GLASS, GRID_UM, MYXOID, REGIONS, TUMOUR, Layout, lay_out
from virtual_cohort.rendering.light import Strokes, draw_ground, light_through
from virtual_cohort.rendering.nuclei import place_nuclei
from virtual_cohort.rendering.stain import optics
from virtual_cohort.rendering.strokes import cell_bodies, draw_bodies, draw_nuclei, nuclear_shapes
from virtual_cohort.rendering.vessels import endothelium, paint_vessels, plan_vessels

SPINDLE = (1.7, 3.6, 2.4, 3.2, 1.5, 1.8)  # length / width of cell bodies, by histotype


@dataclass(frozen=True)
class Slide:
    """`picture` (h, w, 3) uint8 RGB; `nuclei` with positions in µm from the top left; `layout` of the regions, in which
    vessels are marked and what a tear took away is glass."""

    picture: np.ndarray
    nuclei: pd.DataFrame
    layout: Layout

    def truth(self) -> pd.DataFrame:
        """What is kept beside the slide: x_um, y_um, area_um2, class, region."""
        table = self.nuclei[["x_um", "y_um", "area_um2", "class"]].round(2)
        table["class"] = table["class"].astype(str)
        return table.assign(region=np.asarray(REGIONS)[self.nuclei["region"].to_numpy()])


def render_slide(
    seed: int,
    *,
    slide_id: str,
    look: Look,
    scanner: Scanner,
    width_um: float,
    height_um: float,
    artefact: Artefact | None = None,
    stain_strength: float = 1.0,
) -> Slide:
    """Paint one slide. The same arguments give the same pixels; an artefact changes none away from itself."""
    placing, filling, painting = rng(seed, "slide", slide_id).spawn(3)  # so that a knob moves nothing but its own
    layout = lay_out(
        placing, histotype=look.histotype, necrosis=look.necrosis_fraction, width_um=width_um, height_um=height_um
    )
    nuclei = place_nuclei(filling, layout=layout, look=look)
    if artefact is not None and artefact.kind == BLANK:
        layout, nuclei = layout.without_tissue(), nuclei.iloc[:0]
    return paint(
        painting,
        layout=layout,
        nuclei=nuclei,
        histotype=look.histotype,
        scanner=scanner,
        width_um=width_um,
        height_um=height_um,
        artefact=artefact,
        stain_strength=stain_strength,
    )


def paint(
    generator: np.random.Generator,
    *,
    layout: Layout,
    nuclei: pd.DataFrame,
    histotype: int,
    scanner: Scanner,
    width_um: float,
    height_um: float,
    artefact: Artefact | None = None,
    stain_strength: float = 1.0,
) -> Slide:
    """Lay fibres, cells, fat, vessels and nuclei over each other and scan the result."""
    mpp, shape = scanner.mpp, (round(height_um / scanner.mpp), round(width_um / scanner.mpp))
    for_vessels, for_fat, for_bodies, for_nuclei, for_ground, for_noise = generator.spawn(6)
    planned = plan_vessels(layout, generator=for_vessels)
    vessels = paint_vessels(planned, shape=shape, mpp=mpp)
    ends = fat_web(layout, generator=for_fat)
    settled = against_walls(nuclei, ends=ends)
    nuclei = pd.concat([settled[vessels.free(settled)], endothelium(planned)], ignore_index=True)
    strokes = Strokes(
        nuclei=draw_nuclei(nuclei, shapes=nuclear_shapes(nuclei, generator=for_nuclei), shape=shape, mpp=mpp),
        bodies=draw_bodies(
            cell_bodies(
                nuclei,
                spacing_um=_spacing_um(nuclei, layout=layout),
                spindle=SPINDLE[histotype],
                generator=for_bodies,
            ),
            shape=shape,
            mpp=mpp,
        ),
        web=draw_web(ends, layout=layout, shape=shape, mpp=mpp),
        vessels=vessels,
    )
    ground = draw_ground(for_ground, layout=layout)
    light = light_through(layout, strokes=strokes, scanner=scanner, strength=stain_strength, ground=ground)
    picture = optics(light, scanner=scanner, generator=for_noise, artefact=artefact)
    layout = replace(layout, region=vessels.mapped(layout.region))
    if artefact is not None and artefact.kind == "tear":
        nuclei = without_torn(nuclei, artefact=artefact, shape=shape, mpp=mpp)
        gone = torn(artefact, shape=shape, mpp=mpp, grid=layout.region.shape, grid_um=GRID_UM)
        layout = replace(layout, region=np.where(gone, GLASS, layout.region).astype(np.uint8))
    return Slide(picture, nuclei, layout)


def _spacing_um(nuclei: pd.DataFrame, *, layout: Layout) -> float:
    """Distance between neighbouring tumour cells."""
    alive = np.isin(layout.region, (TUMOUR, MYXOID))
    count = max(1, int(nuclei["class"].isin(["tumour", "mitosis"]).sum()))
    return float(np.sqrt(max(alive.sum(), 1) * GRID_UM**2 / count))
