"""A wall of slides: each as a whole, and a piece of its middle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import openslide
import pandas as pd
from matplotlib.figure import Figure


def overview(file: Path, *, width_px: int = 480) -> np.ndarray:
    """Small picture of a whole slide, RGB; label and macro images are not touched."""
    with openslide.OpenSlide(file) as slide:
        return np.asarray(slide.get_thumbnail((width_px, width_px)).convert("RGB"))


def detail(file: Path, *, side_um: float, out_px: int = 320, mpp_override: float = float("nan")) -> np.ndarray:
    """The middle `side_um` of a slide at the finest level, resized to out_px, RGB. White when µm/px is not known."""
    with openslide.OpenSlide(file) as slide:
        said = slide.properties.get(openslide.PROPERTY_NAME_MPP_X)
        mpp = mpp_override if np.isfinite(mpp_override) else float(said) if said else float("nan")
        if not np.isfinite(mpp):
            return np.full((out_px, out_px, 3), 255, np.uint8)
        side = min(round(side_um / mpp), *slide.dimensions)
        corner = ((slide.dimensions[0] - side) // 2, (slide.dimensions[1] - side) // 2)
        return np.asarray(slide.read_region(corner, 0, (side, side)).convert("RGB").resize((out_px, out_px)))


def draw_slides(chosen: pd.DataFrame, *, files: Mapping[str, Path], side_um: float = 160.0) -> Figure:
    """Two rows per hospital: whole slides above, the middle of each below, titled with histotype and grade.

    A slide that cannot be read leaves its place empty but for a word; notebook 01 says what is wrong with it.

    Args:
        chosen: slides with slide_id, centre, stain, mpp_override, histotype and fnclcc_grade.
        files: slide_id -> slide file.
        side_um: side of the piece from the middle, µm.

    Returns:
        The figure; the bar is 50 µm long.
    """
    centres = list(dict.fromkeys(chosen["centre"]))
    columns = int(chosen.groupby("centre").size().max())
    fig, axes = plt.subplots(
        2 * len(centres), columns, figsize=(2.3 * columns, 4.6 * len(centres)), squeeze=False, layout="constrained"
    )
    for ax in axes.ravel():
        ax.set_axis_off()
    for line, centre in enumerate(centres):
        for column, row in enumerate(chosen[chosen["centre"] == centre].to_dict("records")):
            whole, close = axes[2 * line, column], axes[2 * line + 1, column]
            whole.set_title(_caption(row), fontsize=8)
            file = files[row["slide_id"]]
            try:
                small, middle = overview(file), detail(file, side_um=side_um, mpp_override=row["mpp_override"])
            except (openslide.OpenSlideError, OSError, ValueError):
                whole.text(0.5, 0.5, f"{row['slide_id']}\ncannot be read", fontsize=8, ha="center", va="center")
                continue
            whole.imshow(small)
            close.imshow(middle)
            close.plot([10, 10 + 320 * 50 / side_um], [308, 308], color="black", linewidth=3)
            if column == 0:
                close.text(10, 296, "50 µm", fontsize=7)
    return fig


def _caption(row: dict) -> str:
    histotype = str(row["histotype"]).replace("_", " ") if isinstance(row["histotype"], str) else "histotype unknown"
    grade = f", grade {row['fnclcc_grade']:.0f}" if pd.notna(row["fnclcc_grade"]) else ""
    stain = f", {row['stain']}" if isinstance(row["stain"], str) else ""
    return f"{row['centre']}{stain}\n{histotype}{grade}"
