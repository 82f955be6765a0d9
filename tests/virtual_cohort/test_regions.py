"""The map of regions says what is painted, agrees with the nuclei, and keeps the meaning of the latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import IB
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.artefacts import draw_artefact
from virtual_cohort.rendering.layout import (
    FAT,
    GLASS,
    GRID_UM,
    INFLAMMATION,
    MUSCLE,
    MYXOID,
    REGIONS,
    TUMOUR,
    VESSEL,
    lay_out,
)
from virtual_cohort.rendering.nuclei import place_nuclei
from virtual_cohort.rendering.regions import read_regions, region_shares, write_regions
from virtual_cohort.rendering.render import render_slide

LOOK = Look(0, 2800.0, 80.0, 0.45, 1.0, 17.0, 0.0)
SIDE = 600.0


def slide(name="r", *, artefact=None, look=LOOK):
    return render_slide(
        5, slide_id=name, look=look, scanner=IB.scanner, width_um=SIDE, height_um=SIDE, artefact=artefact
    )


def test_a_map_comes_back_as_written_and_another_scale_is_refused(tmp_path):
    region = np.arange(len(REGIONS) * 4, dtype=np.uint8).reshape(4, -1) % len(REGIONS)
    for name in ("a", "b"):
        write_regions(tmp_path / f"{name}.png", region=region)
    assert np.array_equal(read_regions(tmp_path / "a.png"), region)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    Image.fromarray(region).save(tmp_path / "plain.png")
    with pytest.raises(SarcnetError, match=r"plain\.png is a map of the regions None"):
        read_regions(tmp_path / "plain.png")


def test_shares_count_tissue_only():
    region = np.array([[GLASS, GLASS, TUMOUR], [TUMOUR, TUMOUR, FAT]], np.uint8)
    shares = region_shares(region)
    assert shares["tumour"] == 0.75
    assert shares["fat"] == 0.25
    assert shares.sum() == 1.0
    assert region_shares(np.full((2, 2), GLASS)).sum() == 0.0


def test_the_picture_is_pale_on_glass_and_stained_on_tissue():
    painted = slide()
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * GRID_UM / IB.scanner.mpp).astype(int), painted.picture.shape[k] - 1)
        for k, n in enumerate(painted.layout.region.shape)
    )
    green = painted.picture[np.ix_(rows, columns)][..., 1]
    assert np.median(green[painted.layout.region == GLASS]) > 235
    assert np.median(green[painted.layout.region == TUMOUR]) < 190
    assert (painted.layout.region == VESSEL).any()


def test_nuclei_lie_in_the_region_that_their_row_names():
    painted = slide()
    rows, columns = ((painted.nuclei[name] / GRID_UM).astype(int).to_numpy() for name in ("y_um", "x_um"))
    there = painted.layout.region[rows, columns]
    named = painted.nuclei["region"].to_numpy()
    assert (there != GLASS).all()
    settled = ~np.isin(there, (VESSEL,)) & ~np.isin(named, (FAT,)) & (painted.nuclei["class"] != "endothelium")
    assert (there == named)[settled].mean() > 0.99


def test_a_tear_is_glass_on_the_map():
    drawn = draw_artefact(rng(1, "tear of the test"), kind="tear", width_um=SIDE, height_um=SIDE)
    whole, torn = slide(), slide(artefact=replace(drawn, x_um=SIDE / 2, y_um=SIDE / 2))
    gone = (torn.layout.region == GLASS) & (whole.layout.region != GLASS)
    assert 0.005 < gone.mean() < 0.3
    assert ((torn.layout.region == whole.layout.region) | gone).all()


@pytest.mark.parametrize("histotype", range(6))
def test_cellularity_means_nuclei_per_mm2_whatever_the_pattern(histotype):
    """Waves, bundles and clusters move nuclei about and leave their number: expected density 0.5 + 0.6 · vigour."""
    look = replace(LOOK, histotype=histotype)
    seen = wanted = 0.0
    for number in range(3):
        generator = rng(number, "density", str(histotype))
        layout = lay_out(generator, histotype=histotype, necrosis=0.0, width_um=1500, height_um=1500)
        nuclei = place_nuclei(generator, layout=layout, look=look)
        alive = np.isin(layout.region, (TUMOUR, MYXOID)) & (layout.tissue > 0.01)
        share = np.where(layout.region == MYXOID, 0.45, 1.0) * (0.5 + 0.6 * layout.vigour)
        wanted += float(share[alive].sum()) * GRID_UM**2 * 1e-6 * look.cellularity_per_mm2
        seen += float(nuclei["region"].isin([TUMOUR, MYXOID]).sum())
    assert abs(seen / wanted - 1) < 0.06


def test_some_slides_have_muscle_fat_and_lymphocytes():
    regions = [
        lay_out(rng(k, "edge"), histotype=0, necrosis=0.1, width_um=900, height_um=900).region for k in range(24)
    ]
    for kind in (MUSCLE, FAT, INFLAMMATION):
        assert 4 <= sum((region == kind).any() for region in regions) <= 22
