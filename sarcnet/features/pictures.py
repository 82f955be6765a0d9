"""What notebook 02 shows: where the time goes, the features on a plane, and how far the centres are apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from sarcnet.compendium.figures import palette
from sarcnet.features.extraction import STEPS, Extraction
from sarcnet.features.projection import Plane
from sarcnet.features.store import read_features
from sarcnet.slides.opening import open_slide
from sarcnet.slides.reading import TileReader, plan
from sarcnet.slides.units import TilePx, Um

MARKERS = ("o", "^", "s", "D", "v")


def time_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds of all threads by step, their share, and milliseconds a tile; empty when nothing was encoded now."""
    seconds = pd.Series({step: float(rows[f"seconds_{step}"].sum()) for step in STEPS}, name="seconds")
    table = seconds.to_frame()
    table["share"] = table["seconds"] / max(seconds.sum(), 1e-9)
    table["ms a tile"] = 1000 * table["seconds"] / max(int(rows["n_encoded"].sum()), 1)
    return table.round(2)


def sample_features(
    folder: Path, done: pd.DataFrame, report: pd.DataFrame, *, per_slide: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Up to `per_slide` tiles of every slide, evenly picked, so that no slide dominates the picture.

    Returns:
        A table (slide_id, centre, mpp, x_px, y_px), one row a tile, and their features (n, d) float32.
    """
    about = report.set_index("slide_id")
    parts, features = [], []
    for slide_id in done["slide_id"]:
        found = read_features(folder / f"{slide_id}.h5")
        rows = np.unique(np.linspace(0, len(found.coords) - 1, per_slide).round().astype(int))
        part = pd.DataFrame(found.coords[rows], columns=["x_px", "y_px"])
        parts.append(part.assign(slide_id=slide_id, centre=about.at[slide_id, "centre"], mpp=about.at[slide_id, "mpp"]))
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
    colour = palette(names)
    for name, marker in zip(names, MARKERS, strict=False):
        rows = (table["centre"] == name).to_numpy()
        label = f"{name} (n = {rows.sum():,} tiles)"
        left.scatter(
            *plane.scores[rows].T, s=9, alpha=0.5, color=colour[name], marker=marker, label=label, linewidths=0
        )
    left.legend(loc="upper left", bbox_to_anchor=(0, 1.0), markerscale=2)
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


def draw_centre_gaps(table: pd.DataFrame, features: np.ndarray) -> tuple[Figure, pd.DataFrame]:
    """Histogram over features of the difference between the first two centres, in pooled standard deviations.

    With one centre only, the two halves of its slides are compared: what remains without any difference of hospital.
    """
    groups, labels = _two_groups(table)
    a, b = (features[groups == k].astype(np.float64) for k in (0, 1))  # (n_k, d)
    spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2)  # (d,)
    varies = spread > 1e-6
    gaps = (a.mean(axis=0) - b.mean(axis=0))[varies] / spread[varies]
    figure, axis = plt.subplots(figsize=(8, 3))
    edge = max(1.5, float(np.abs(gaps).max()))
    axis.hist(gaps, bins=np.linspace(-edge, edge, 61).tolist(), color=palette(["features"])["features"])
    for bound in (-1, 1):
        axis.axvline(bound, color="0.4", linestyle="--")
    axis.set_xlabel(f"{labels[0]} minus {labels[1]}, standard deviations")
    axis.set_ylabel("features")
    beyond = float((np.abs(gaps) > 1).mean())
    axis.set_title(f"{beyond:.0%} of {len(gaps):,} features differ by more than one standard deviation")
    return figure, pd.DataFrame({"feature": np.flatnonzero(varies), "difference_sd": gaps})


def _two_groups(table: pd.DataFrame) -> tuple[np.ndarray, tuple[str, str]]:
    names = sorted(table["centre"].unique())
    if len(names) > 1:
        codes = table["centre"].map({name: k for k, name in enumerate(names)}).to_numpy()
        return codes, (str(names[0]), str(names[1]))
    return np.arange(len(table)) % 2, ("every second tile", "the others")
