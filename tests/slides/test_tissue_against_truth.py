"""What lies under the kept tiles of simulated slides, held against their true maps, for every histotype and hospital."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.params import read_profile
from sarcnet.slides.reader.grid import Grid, share_inside, tile_grid
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import plan
from sarcnet.slides.reader.units import Level0Px, TilePx, Um
from sarcnet.slides.tiling import TileRules, tile_slide
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.layout import GLASS, GRID_UM, MYXOID, NECROSIS, REGIONS, TUMOUR
from virtual_cohort.rendering.pyramid import write_svs
from virtual_cohort.rendering.render import render_slide

USUAL = read_profile(Path(__file__).resolve().parents[2] / "papermill_params" / "demo.yaml")
RULES = TileRules(**{field.name: USUAL[field.name] for field in fields(TileRules)})
TILES_MIN = 2.0  # area, in tiles, below which a share says nothing
GLASS_BEFORE = 39.8  # tiles of glass under 507 kept ones of these slides, with one threshold and a least share of 0.5
KEPT_BEFORE = 507


@pytest.fixture(scope="module")
def shares(tmp_path_factory) -> pd.DataFrame:
    """One row a slide: centre, histotype, kept, and of each region the area in tiles, kept_ and allowed_.

    Allowed is what the grid would hold if the mask were the true map.
    """
    folder = tmp_path_factory.mktemp("slides")
    rows = []
    for centre in CENTRES.values():
        for histotype, name in enumerate(HISTOTYPES):
            for number in range(3 if name == "myxofibrosarcoma" else 1):
                look = Look(histotype, 2000.0, 80.0, 0.45, 1.0, 17.0, 0.12)
                size = {"width_um": 800.0, "height_um": 700.0}
                slide = render_slide(number, slide_id=name, look=look, scanner=centre.scanner, **size)
                path = folder / f"{centre.name}-{name}-{number}.svs"
                quality = centre.scanner.jpeg_quality
                write_svs(path, picture=slide.picture, mpp=centre.scanner.mpp, quality=quality, scanner_name="TEST")
                rows.append({"centre": centre.name, "histotype": name} | areas(path, region=slide.layout.region))
    return pd.DataFrame(rows)


def areas(path: Path, *, region: np.ndarray) -> dict[str, float]:
    tiles = tile_slide(path, rules=RULES).tiles
    handle, info = open_slide(path)
    handle.close()
    size = plan(info, tile_um=Um(RULES.tile_um), tile_px=TilePx(RULES.tile_px)).size_px
    whole, scale = tile_grid(info, size_px=size), GRID_UM / info.mpp
    allowed = share_inside(region != GLASS, grid=whole, scale=scale) >= RULES.tissue_share_min
    kept = Grid(tiles["x_px"].to_numpy(), tiles["y_px"].to_numpy(), Level0Px(size))
    found: dict[str, float] = {"kept": len(tiles)}
    for place, name in enumerate(REGIONS):
        found[f"kept_{name}"] = share_inside(region == place, grid=kept, scale=scale).sum()
        found[f"allowed_{name}"] = share_inside(region == place, grid=whole, scale=scale)[allowed].sum()
    return found


@pytest.mark.parametrize("region", [REGIONS[place] for place in (TUMOUR, MYXOID, NECROSIS)])
def test_tumour_lies_under_kept_tiles_as_far_as_the_grid_allows(shares, region):
    sums = shares.groupby(["centre", "histotype"])[[f"kept_{region}", f"allowed_{region}"]].sum()
    sums = sums[sums[f"allowed_{region}"] >= TILES_MIN]
    assert set(sums.index.get_level_values("centre")) == set(CENTRES)
    share = sums[f"kept_{region}"] / sums[f"allowed_{region}"]
    assert (share >= 0.9).all(), share.round(3).to_dict()


def test_no_more_glass_lies_under_kept_tiles_than_with_one_threshold(shares):
    glass, kept = shares["kept_glass"].sum(), shares["kept"].sum()
    assert glass <= GLASS_BEFORE
    assert glass / kept <= GLASS_BEFORE / KEPT_BEFORE
