"""What tests of whole slides and folders share: the rules, the table of a hospital's slides, and tiling them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sarcnet.slides.cohort_tiling import report_table, tile_cohort
from sarcnet.slides.slide_result import SlideResult
from sarcnet.slides.tiling import TileRules

Tile = Callable[..., tuple[list[SlideResult], pd.DataFrame]]


@pytest.fixture
def rules() -> TileRules:
    """Notebook 01's defaults, but for a sharpness that painted slides have, and tiles of 56 px (2 µm/px) to be quick."""
    return TileRules(
        tile_um=112.0,
        tile_px=56,
        thumbnail_um_per_px=8.0,
        tissue_share_min=0.6,
        pen_share_max=0.2,
        fold_share_max=0.5,
        blank_share_max=0.8,
        sharpness_min=5.0,
        unreadable_share_max=0.2,
    )


@pytest.fixture
def fine_rules(rules: TileRules) -> TileRules:
    """The same with 224 px: 0.5 µm/px."""
    return replace(rules, tile_px=224)


@pytest.fixture
def tile(rules: TileRules) -> Tile:
    """tile(files, folder, jobs=0, rules=…, seconds_max=…) -> results and report of slides of the hospital CLB; what they
    leave lies in folder/w and folder/p.
    """

    def tiled(
        files: Mapping[str, Path], folder: Path, *, jobs: int = 0, rules: TileRules = rules, **options: float
    ) -> tuple[list[SlideResult], pd.DataFrame]:
        slides = pd.DataFrame({"slide_id": list(files), "patient_id": "P", "centre": "CLB", "mpp_override": math.nan})
        places = {"work": folder / "w", "pictures": folder / "p"}
        results = list(tile_cohort(slides, files=files, rules=rules, jobs=jobs, **places, **options))
        return results, report_table(results, slides)

    return tiled
