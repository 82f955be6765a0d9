"""Measures of simulated tiles beside the truth of the same tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.evaluation.metrics.correlation import spearman
from sarcnet.morphometry.measure import (
    LIVING_SHARE_MIN,
    MEASURES,
    UM2_PER_MM2,
    MeasuredTile,
    measure_tile,
    slide_colours,
)
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um
from studies.morphometry_validation.annotated_fields import PARTS
from studies.morphometry_validation.segmentation_metrics import paired_centres
from virtual_cohort.rendering.layout import GLASS, GRID_UM, MUSCLE, MYXOID, NECROSIS, SEPTUM, TUMOUR
from virtual_cohort.rendering.regions import read_regions

TILE_UM, TILE_PX, NUCLEI_MIN, TISSUE_MIN = 112.0, 224, 8, 0.5
TUMOUR_CLASSES = ("tumour", "mitosis")
#: Measures that the truth knows. Stroma is held against collagen septa and muscle.
KNOWN = (
    "cellularity_per_mm2",
    "nuclear_area_um2",
    "anisokaryosis_cv",
    "mitosis_like_per_mm2",
    "necrosis_fraction",
    "stroma_fraction",
)


def true_values(nuclei: pd.DataFrame, region: np.ndarray) -> dict[str, float]:
    """KNOWN, counted from the true nuclei (x_um, y_um, area_um2, class) and regions (h, w) of one tile of TILE_UM."""
    tumour = nuclei[nuclei["class"].isin(TUMOUR_CLASSES)]
    alive = np.isin(region, (TUMOUR, MYXOID)).mean()
    living_mm2 = alive * TILE_UM**2 / UM2_PER_MM2 if alive >= LIVING_SHARE_MIN else np.nan
    area = tumour["area_um2"] if len(tumour) >= NUCLEI_MIN else tumour["area_um2"][:0]
    return {
        "cellularity_per_mm2": len(tumour) / living_mm2,
        "nuclear_area_um2": area.mean(),
        "anisokaryosis_cv": area.std(ddof=1) / area.mean() if len(area) else np.nan,
        "mitosis_like_per_mm2": (nuclei["class"] == "mitosis").sum() / living_mm2,
        "necrosis_fraction": float((region == NECROSIS).mean()),
        "stroma_fraction": float(np.isin(region, (SEPTUM, MUSCLE)).mean()),
    }


def virtual_tiles(
    cohort: Path, *, tiles_per_slide: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, list[tuple[str, float, int]]]:
    """Measure some tiles of each slide of a simulated cohort; slides without tissue give none.

    Returns:
        One row a tile: centre, slide_id, part (every second slide of a hospital is held out), MEASURES, status and, with
        the prefix true_, KNOWN; and for the held-out tiles (class, share found, number) of the true nuclei.
    """
    rows: list[dict[str, object]] = []
    hits = []
    for truth in sorted((cohort / "truth" / "slides").glob("*.parquet")):
        file = _slide_of(cohort, truth.stem)
        part = PARTS[len({row["slide_id"] for row in rows if row["centre"] == file.parts[-3]}) % 2]
        for left_um, top_um, tile, nuclei, region in _seen(file, truth, count=tiles_per_slide, generator=generator):
            own = nuclei.assign(x_um=nuclei["x_um"] - left_um, y_um=nuclei["y_um"] - top_um)
            named = {f"true_{name}": value for name, value in true_values(own, region).items()}
            where = {"centre": file.parts[-3], "slide_id": truth.stem, "part": part, "x_um": left_um, "y_um": top_um}
            rows.append({**where, **tile.values, "status": tile.status, **named})
            if part == PARTS[1]:
                places = [frame[["x_um", "y_um"]].to_numpy(float) for frame in (own, tile.table)]
                found = np.isin(np.arange(len(own)), paired_centres(*places)[:, 0])
                hits.append(pd.DataFrame({"class": own["class"].to_numpy(), "found": found}))
    columns = ["centre", "slide_id", "part", *MEASURES, "status", *(f"true_{name}" for name in KNOWN)]
    recall = pd.concat(hits).groupby("class")["found"].agg(["mean", "size"]) if hits else pd.DataFrame()
    by_class = [(str(name), float(row["mean"]), int(row["size"])) for name, row in recall.iterrows()]
    return pd.DataFrame(rows, columns=None if rows else columns), by_class


def _slide_of(cohort: Path, slide_id: str) -> Path:
    return next(path for path in sorted(cohort.glob(f"*/slides/{slide_id}.*")) if path.suffix != ".json")


def _seen(
    file: Path, truth: Path, *, count: int, generator: np.random.Generator
) -> list[tuple[float, float, MeasuredTile, pd.DataFrame, np.ndarray]]:
    """left_um, top_um, measured tile, its true nuclei and its true regions, for tiles on a grid that are mostly tissue."""
    region = read_regions(truth.with_suffix(".regions.png"))
    side = round(TILE_UM / GRID_UM)
    corners = [
        (row, column)
        for row in range(0, region.shape[0] - side + 1, side)
        for column in range(0, region.shape[1] - side + 1, side)
        if (region[row : row + side, column : column + side] != GLASS).mean() >= TISSUE_MIN
    ]
    chosen = [corners[k] for k in generator.permutation(len(corners))[:count]]
    handle, info = open_slide(file)
    with TileReader(handle, info, plan(info, tile_um=Um(TILE_UM), tile_px=TilePx(TILE_PX))) as reader:
        pictures = [reader.tile(column * GRID_UM / info.mpp, row * GRID_UM / info.mpp) for row, column in chosen]
    if not pictures:
        return []
    mpp = TILE_UM / TILE_PX
    colours = slide_colours(pictures, mpp=mpp)
    nuclei = pd.read_parquet(truth)
    seen = []
    for (row, column), picture in zip(chosen, pictures, strict=True):
        left, top = column * GRID_UM, row * GRID_UM
        inside = nuclei["x_um"].between(left, left + TILE_UM, inclusive="left") & nuclei["y_um"].between(
            top, top + TILE_UM, inclusive="left"
        )
        tile = measure_tile(picture, mpp=mpp, colours=colours, nuclei_min=NUCLEI_MIN)
        seen.append((left, top, tile, nuclei[inside], region[row : row + side, column : column + side]))
    return seen


def agreement_with_truth(
    measured: pd.DataFrame, *, samples: int, level: float, generator: np.random.Generator
) -> pd.DataFrame:
    """For each of KNOWN, part and hospital ("both" too): tiles, rho (rank correlation), low, high, error.

    The interval comes from resampling slides; error is the median of measured over true minus 1 where the truth is above 0.
    """
    rows = []
    for name in KNOWN:
        for part in PARTS:
            for centre in [*sorted(measured["centre"].unique()), "both"]:
                own = measured[(measured["part"] == part) & ((measured["centre"] == centre) | (centre == "both"))]
                own = own.dropna(subset=[name, f"true_{name}"])
                pairs = own[[name, f"true_{name}"]].to_numpy(float)
                by_slide = list(own.reset_index(drop=True).groupby("slide_id").indices.values())
                rhos = []
                for _ in range(samples if len(by_slide) > 1 else 0):
                    drawn = generator.integers(len(by_slide), size=len(by_slide))
                    rhos.append(rank_correlation(pairs[np.concatenate([by_slide[k] for k in drawn])]))
                low, high = np.nanquantile(rhos, [(1 - level) / 2, (1 + level) / 2]) if rhos else (np.nan, np.nan)
                some = pairs[pairs[:, 1] > 0]
                error = float(np.median(some[:, 0] / some[:, 1]) - 1) if len(some) else np.nan
                found = {"rho": rank_correlation(pairs), "low": low, "high": high, "error": error}
                rows.append({"measure": name, "part": part, "centre": centre, "tiles": len(own), **found})
    return pd.DataFrame(rows)


def rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's rho of (n, 2); NaN for fewer than three pairs or a constant column."""
    return spearman(pairs) if len(pairs) >= 3 else float("nan")
