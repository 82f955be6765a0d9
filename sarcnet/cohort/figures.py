"""Figures of notebook 00 that any cohort has: outcome curves and a wall of slides."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import openslide
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.followup import YEARS_SHOWN, at_risk, cumulative_incidence, event_free
from sarcnet.compendium.figures import hospital_colours


def draw_outcome(patients: pd.DataFrame, *, title: str, endpoint: Endpoint) -> Figure:
    """Left: freedom from the event by hospital, with 95 % bands and numbers at risk. Right: its cumulative incidence, and
    that of the competing event where there is one.

    patients: those with a known outcome.
    """
    curves, risk = event_free(patients), at_risk(patients)
    incidence = cumulative_incidence(patients, endpoint=endpoint)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), width_ratios=(1.25, 1), layout="constrained")
    for name, colour in hospital_colours(risk.index).items():
        curve = curves[curves["centre"] == name]
        left.step(curve["years"], curve["free"], where="post", color=colour, label=name)
        left.fill_between(
            curve["years"], curve["low"], curve["high"], step="post", color=colour, alpha=0.15, linewidth=0
        )
    left.set(xlabel="years since diagnosis", ylabel=f"{endpoint.free} (share)", ylim=(0, 1.02), xlim=(0, 8))
    left.set_title(endpoint.survival.capitalize())
    left.legend(loc="lower left")
    _numbers_at_risk(left, risk)
    for event, style in zip(endpoint.codes.values(), ("-", "--"), strict=False):
        curve = incidence[incidence["event"] == event]
        right.step(curve["years"], curve["incidence"], where="post", color="black", linestyle=style, label=event)
        right.fill_between(
            curve["years"], curve["low"], curve["high"], step="post", color="0.5", alpha=0.15, linewidth=0
        )
    right.set(xlabel="years since diagnosis", ylabel="cumulative incidence (share)", ylim=(0, 1.02), xlim=(0, 8))
    right.set_title(f"{'Competing events' if endpoint.competing else endpoint.event.capitalize()}, all hospitals")
    right.legend(loc="upper left")
    fig.suptitle(title, fontsize="medium")
    return fig


def _numbers_at_risk(ax: Axes, risk: pd.DataFrame) -> None:
    """Under the axis, one line a hospital."""
    ax.set_xticks(list(YEARS_SHOWN))
    lines = [("at risk", ["" for _ in YEARS_SHOWN]), *((str(n), [str(v) for v in row]) for n, row in risk.iterrows())]
    for line, (name, numbers) in enumerate(lines):
        y = -0.22 - 0.065 * line
        ax.text(-0.045, y, name, transform=ax.transAxes, ha="right", va="top", fontsize="small")
        for year, number in zip(YEARS_SHOWN, numbers, strict=True):
            ax.text(year, y, number, transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize="small")


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


def pick_slides(
    slides: pd.DataFrame, patients: pd.DataFrame, *, per_centre: int, spoilt: Collection[str] = ()
) -> pd.DataFrame:
    """Up to `per_centre` slides of training patients from each hospital, different histotypes first, and of each
    histotype those that are not `spoilt` (slide_ids) before those that are."""
    table = slides.merge(patients[["patient_id", "series", "histotype", "fnclcc_grade"]], on="patient_id")
    table = table[table["series"] == "training"]
    table = table.assign(spoilt=table["slide_id"].isin(spoilt)).sort_values(["spoilt", "slide_id"])
    table["turn"] = table.groupby(["centre", "histotype"], dropna=False).cumcount()
    return (
        table.sort_values(["centre", "turn", "slide_id"])
        .groupby("centre")
        .head(per_centre)
        .drop(columns="spoilt")
        .reset_index(drop=True)
    )


def draw_slides(chosen: pd.DataFrame, *, files: dict[str, Path], side_um: float = 160.0) -> Figure:
    """Two rows a hospital: whole slides above, the middle `side_um` of each below. Titles: histotype and grade. A slide
    that cannot be read leaves its place empty but for a word; notebook 01 says what is wrong with it.
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
