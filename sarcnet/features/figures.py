"""What notebook 02 shows: where the time goes, the features on a plane, and how far the centres are apart."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from sarcnet.compendium.figures import hospital_colours
from sarcnet.features.extraction import STEPS, Extraction
from sarcnet.features.projection import Plane
from sarcnet.features.store import read_features
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um

MARKERS = ("o", "^", "s", "D", "v")


def time_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds of all threads by step, their share, and milliseconds for each tile that was encoded now."""
    seconds = pd.Series({step: float(rows[f"seconds_{step}"].sum()) for step in STEPS}, name="seconds")
    table = seconds.to_frame()
    table["share"] = table["seconds"] / max(seconds.sum(), 1e-9)
    table["ms a tile"] = 1000 * table["seconds"] / max(int((rows["n_encoded"] - rows["n_resumed"]).sum()), 1)
    return table.round(2)


def sample_features(
    folder: Path, done: pd.DataFrame, report: pd.DataFrame, *, per_slide: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Up to `per_slide` tiles of every slide, evenly picked, so that no slide dominates the picture.

    Returns:
        A table (slide_id, patient_id, centre, mpp, x_px, y_px), one row a tile, and their features (n, d) float32.
    """
    about = report.set_index("slide_id")
    parts, features = [], []
    for slide_id in done["slide_id"]:
        found = read_features(folder / f"{slide_id}.h5")
        rows = np.unique(np.linspace(0, len(found.coords) - 1, per_slide).round().astype(int))
        part = pd.DataFrame(found.coords[rows], columns=["x_px", "y_px"])
        parts.append(part.assign(slide_id=slide_id, **about.loc[slide_id, ["patient_id", "centre", "mpp"]].to_dict()))
        features.append(found.features[rows].astype(np.float32))
    return pd.concat(parts, ignore_index=True), np.concatenate(features)


def draw_plane(
    table: pd.DataFrame, plane: Plane, *, files: Mapping[str, Path], extraction: Extraction, side: int = 8
) -> tuple[Figure, pd.DataFrame]:
    """Figure F4: tiles on the two main axes of their features, by centre (left) and as they look (right).

    The right panel shows, for each cell of a `side` x `side` grid that holds a tile, the tile nearest to the cell's
    middle.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2), sharex=True, sharey=True)
    names = sorted(table["centre"].unique())
    colour = hospital_colours(names)
    for name, marker in zip(names, cycle(MARKERS), strict=False):
        rows = (table["centre"] == name).to_numpy()
        label = f"{name} (n = {rows.sum():,} tiles)"
        left.scatter(
            *plane.scores[rows].T, s=9, alpha=0.5, color=colour[name], marker=marker, label=label, linewidths=0
        )
    left.legend(loc="best", markerscale=2, frameon=True)
    left.set_title("each point a tile")
    right.set_title("tiles at their places")
    for axis in (left, right):
        axis.set_xlabel(f"first axis ({plane.explained[0]:.0%} of variance)")
    left.set_ylabel(f"second axis ({plane.explained[1]:.0%} of variance)")
    _place_tiles(right, table, plane.scores, files, extraction, side)
    shown = table.assign(axis_1=plane.scores[:, 0], axis_2=plane.scores[:, 1])
    return figure, shown[["centre", "slide_id", "axis_1", "axis_2"]]


def _place_tiles(
    axis: Axes, table: pd.DataFrame, scores: np.ndarray, files: Mapping[str, Path], extraction: Extraction, side: int
) -> None:
    low, high = scores.min(axis=0), scores.max(axis=0)
    places = (scores - low) / np.maximum(high - low, 1e-9) * side  # (n, 2), in cells
    cells = np.minimum(places.astype(int), side - 1)
    off = ((places - cells - 0.5) ** 2).sum(axis=1)
    for cell in np.unique(cells, axis=0):
        inside = np.flatnonzero((cells == cell).all(axis=1))
        row = table.iloc[inside[off[inside].argmin()]]
        handle, info = open_slide(files[row["slide_id"]], mpp_override=row["mpp"])
        reading = plan(info, tile_um=Um(extraction.tile_um), tile_px=TilePx(extraction.tile_px))
        with TileReader(handle, info, reading) as reader:
            picture = OffsetImage(reader.tile(row["x_px"], row["y_px"])[::2, ::2], zoom=0.34)
        at = low + (cell + 0.5) / side * (high - low)
        axis.add_artist(AnnotationBbox(picture, tuple(at), frameon=False, pad=0))
    axis.set_xlim(low[0] - 0.03 * (high - low)[0], high[0] + 0.03 * (high - low)[0])
    axis.set_ylim(low[1] - 0.03 * (high - low)[1], high[1] + 0.03 * (high - low)[1])


def draw_hospitals(told: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Margin by which the linear rule of `batch_effect.classify_site` names the true hospital, slide by slide."""
    figure, axis = plt.subplots(figsize=(8, 3))
    if told.empty:
        axis.text(0.5, 0.5, "one centre only: nothing to tell apart", ha="center", va="center")
        axis.set_axis_off()
        return figure, told
    edge = 1.05 * float(told["margin"].abs().max())
    bins = np.linspace(-edge, edge, 31)
    for name, colour in hospital_colours(told["centre"]).items():
        part = told.loc[told["centre"] == name, "margin"]
        counts, _ = np.histogram(part, bins)
        axis.stairs(counts, bins, color=colour, linewidth=2, label=f"{name} (n = {len(part)} slides)")
    axis.axvline(0, color="0.4", linestyle="--")
    axis.set_xlabel("score of the true hospital minus the other (right of 0: named correctly)")
    axis.set_ylabel("slides")
    axis.legend(loc="upper left")
    return figure, told
