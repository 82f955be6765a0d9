"""Which slides notebook 02 encodes: those that notebook 01 could tile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sarcnet.features.identity import SlideTiles
from sarcnet.slides.cohort_tiling import slide_files


def slides_to_encode(
    report: pd.DataFrame, tiles: pd.DataFrame, slides: pd.DataFrame, *, recorded: Mapping[str, Path]
) -> list[SlideTiles]:
    """The slides that notebook 01 could tile, with their files.

    Args:
        report: notebook 01's slide report (slide_id, status, mpp, mpp_source).
        tiles: notebook 01's tiles.
        slides: notebook 00's slides (slide_id, file).
        recorded: path in the run -> slide file that notebook 00 vouches for.

    Returns:
        One per slide, in the report's order: slide_id, file, µm/px and who said so, tiles.
    """
    files = slide_files(slides, recorded=recorded)
    by_slide = {slide_id: part.reset_index(drop=True) for slide_id, part in tiles.groupby("slide_id")}
    ok = report[report["status"] == "ok"]
    return [
        SlideTiles(slide_id, files[slide_id], float(mpp), by_slide[slide_id], mpp_source)
        for slide_id, mpp, mpp_source in zip(ok["slide_id"], ok["mpp"], ok["mpp_source"], strict=True)
    ]
