"""Do the tiles that raise the score look different, in the truth that only a virtual cohort has?

The abstract of the study names three patterns, found by pathologists looking at tiles: atypia, tumour cellularity and
anisokaryosis. Here each of them is *counted* from the true nuclei of a tile, cellularity on its living tumour; beside
them stands necrosis, which the paper does not name but the grade counts. Tiles are compared within each patient, the
share with the highest contribution against the share with the lowest, and the patient is the unit: differences between
patients (stage, stain, hospital) cannot pose as differences between tiles, and patients with many tiles count once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.metrics.correlation import spearman
from sarcnet.interpret.attribution.contributions import Explanation
from sarcnet.interpret.figures.forest import draw_forest, label_forest
from sarcnet.interpret.patterns.effects import (
    BOTH_ENDS,
    P_MAX,
    effects,
    effects_by_centre,
    gaps_by_patient,
    random_effects,
    reached_by,
    verdict_of,
)
from sarcnet.morphometry.geometry import TileGeometry
from virtual_cohort.rendering.layout import GRID_UM, MYXOID, NECROSIS, TUMOUR
from virtual_cohort.rendering.regions import read_regions

#: column: (name as in the paper, what is counted, truth of the whole patient)
PATTERNS = {
    "cellularity_per_mm2": ("tumour cellularity", "tumour nuclei per mm²"),
    "nuclear_area_um2": ("atypia", "mean nuclear area, µm²"),
    "anisokaryosis_cv": ("anisokaryosis", "coefficient of variation of the nuclear area"),
    "necrosis_fraction": ("necrosis", "share of the tile"),
}
WORDS = {name: f"{pattern} ({unit})" for name, (pattern, unit) in PATTERNS.items()}
LIVING = (TUMOUR, MYXOID)
LIVING_SHARE_MIN = 0.3  # of a tile: below it, cellularity would hang on a strip of tissue
TUMOUR_CLASSES = ("tumour", "mitosis")
UM2_PER_MM2 = 1e6


def tile_pathology(
    tiles: pd.DataFrame,
    *,
    nuclei: Mapping[str, Path],
    regions: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    nuclei_min: int,
) -> pd.DataFrame:
    """`tiles` with the true patterns of each, as in PATTERNS, and the number of its tumour nuclei.

    Cellularity is counted on living tumour (myxoid parts included); a tile with less than LIVING_SHARE_MIN of it has
    none (NaN), so that a model which looks for necrosis does not pose as one that looks for few nuclei.

    Args:
        tiles: slide_id, x_px, y_px (level-0 corner), …
        nuclei: by slide_id, the table of true nuclei (x_um, y_um, area_um2, class).
        regions: by slide_id, the map of true regions; see :mod:`virtual_cohort.rendering.regions`.
        geometry: by slide_id.
        nuclei_min: with fewer tumour nuclei a tile has no mean area and no variation (NaN).
    """
    parts = []
    for slide_id, own in tiles.groupby("slide_id", sort=False):
        place = geometry[str(slide_id)]
        table = pd.read_parquet(nuclei[str(slide_id)])
        table = table[table["class"].isin(TUMOUR_CLASSES)]
        region = read_regions(regions[str(slide_id)])
        parts.append(own.assign(**_count(own, table, region=region, place=place, nuclei_min=nuclei_min)))
    return pd.concat(parts).loc[tiles.index] if parts else tiles.assign(**dict.fromkeys([*PATTERNS, "nuclei"], np.nan))


def _count(
    own: pd.DataFrame, table: pd.DataFrame, *, region: np.ndarray, place: TileGeometry, nuclei_min: int
) -> dict[str, np.ndarray]:
    x, y, area = (table[name].to_numpy(float) for name in ("x_um", "y_um", "area_um2"))
    counts, means, variations, living, necrosis = [], [], [], [], []
    for left, top in own[["x_px", "y_px"]].to_numpy(float) * place.mpp:
        inside = area[(x >= left) & (x < left + place.tile_um) & (y >= top) & (y < top + place.tile_um)]
        counts.append(len(inside))
        enough = len(inside) >= nuclei_min
        means.append(inside.mean() if enough else np.nan)
        variations.append(inside.std(ddof=1) / inside.mean() if enough else np.nan)
        column, row, end = round(left / GRID_UM), round(top / GRID_UM), round(place.tile_um / GRID_UM)
        there = region[row : row + end, column : column + end]
        living.append(np.isin(there, LIVING).sum() / end**2)
        necrosis.append((there == NECROSIS).sum() / end**2)
    alive = np.array(living)
    density = np.array(counts) / (np.maximum(alive, LIVING_SHARE_MIN) * place.tile_um**2) * UM2_PER_MM2
    density[alive < LIVING_SHARE_MIN] = np.nan
    return {
        "cellularity_per_mm2": density,
        "nuclear_area_um2": np.array(means),
        "anisokaryosis_cv": np.array(variations),
        "necrosis_fraction": np.array(necrosis),
        "nuclei": np.array(counts),
    }


def score_against_truth(
    patients: pd.DataFrame, truth: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Rank correlation of the image score with each true pattern of the whole tumour: pattern, rho, low, high, n.

    patients: `Explanation.patients`; those without tiles are left out. The interval comes from resampling patients.
    """
    joined = patients[patients["n_tiles"] > 0].merge(truth[["patient_id", *PATTERNS]], on="patient_id")
    draws = rng.integers(len(joined), size=(samples, len(joined)))
    rows = []
    for name in PATTERNS:
        both = joined[["image", name]].to_numpy(float)
        many = np.array([spearman(both[draw]) for draw in draws])
        low, high = np.nanquantile(many, [(1 - level) / 2, (1 + level) / 2])
        rows.append({"pattern": name, "rho": spearman(both), "low": low, "high": high, "n": len(joined)})
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    """A sentence for each pattern: does the model react to it, how surely, and more than networks that learnt nothing?

    "A reaction" needs PATIENTS_MIN patients, a P below P_MAX after Holm, an interval without zero, and an effect that at
    most P_MAX of the shuffled networks reach.

    Args:
        table: of `effects`, one row per pattern.
        reference: (networks, patterns) the same effects in networks with shuffled weights.

    Returns:
        The sentences, in the order of `table`.
    """
    sentences = []
    for _, row in table.iterrows():
        shuffled = reference[row["pattern"]]
        if row["low"] <= 0 <= row["high"] or row["p"] >= P_MAX:
            answer = "no reaction is shown"
        else:
            answer = "a reaction" if reached_by(row, shuffled) <= P_MAX else "says nothing of what was learnt"
        verdict = verdict_of(*PATTERNS[row["pattern"]], row, shuffled=shuffled, tests=len(table), answer=answer)
        sentences.append(verdict.sentence)
    return sentences


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of effects as a reader sees it: patterns in words with their units, at the head of each row, rounded."""
    heads = [name for name in ("centre", "pattern") if name in table]
    return table.assign(pattern=table["pattern"].map(WORDS)).set_index(heads).round(3)


def draw_pathology(found: pd.DataFrame, reference: pd.DataFrame, correlations: pd.DataFrame, *, level: float) -> Figure:
    """Left: true pattern of high against low tiles, beside networks that learnt nothing. Right: whole tumours."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 3.8), sharey=True)
    patterns = found["pattern"].tolist()
    dots = reference[patterns].melt().dropna()
    places = dots["variable"].map(patterns.index) + 0.25
    draw_forest(left, found, rows=patterns, colour=PALETTE[1], label="trained")
    left.scatter(dots["value"], places, s=10, color="0.6", alpha=0.6, linewidths=0, label="weights shuffled")
    draw_forest(right, correlations, rows=patterns, value="rho", colour=PALETTE[0])
    label_forest((left, right), patterns, level=level, words=PATTERNS)
    right.set_xlabel(f"rank correlation of image score\nand true pattern ({level:.0%} interval)")
    left.set_title(f"Within patients, n = {int(found['n'].max())}")
    right.set_title(f"Between patients, n = {int(correlations['n'].max())}")
    left.legend(fontsize="x-small", loc="best")
    return figure


@dataclass(frozen=True)
class TruthComparison:
    """True patterns beside contributions.

    tiles: the explained tiles with their true patterns. within: effects on tiles within patients, by_centre the same in
    each hospital, shuffled the same in networks with shuffled weights (networks, patterns). between: rank correlation of
    the image score with the pattern of the whole tumour.
    """

    tiles: pd.DataFrame
    within: pd.DataFrame
    by_centre: pd.DataFrame
    shuffled: pd.DataFrame
    between: pd.DataFrame

    @property
    def tables(self) -> tuple[pd.DataFrame, ...]:
        """Within patients, in each hospital, and between patients, in words."""
        return tuple(readable(table) for table in (self.within, self.by_centre, self.between))

    @property
    def sentences(self) -> list[str]:
        """A verdict for each pattern."""
        return verdicts(self.within, self.shuffled)

    def draw(self, *, level: float) -> Figure:
        """The figure of :func:`draw_pathology`."""
        return draw_pathology(self.within, self.shuffled, self.between, level=level)


def compare_with_truth(
    explained: Explanation,
    truth: pd.DataFrame,
    *,
    shuffled: Sequence[pd.DataFrame],
    nuclei: Mapping[str, Path],
    regions: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    nuclei_min: int,
    share: float,
    samples: int,
    level: float,
    rng: Callable[[str], np.random.Generator],
) -> TruthComparison:
    """Do the tiles that raise the score look different, in truth, and do tumours of a high image score?

    Args:
        explained: of `sarcnet.interpret.explain`.
        truth: one row per patient, with the patterns of the whole tumour.
        shuffled: of `shuffled_contributions`.
        nuclei: by slide_id, tables of the true nuclei.
        regions: by slide_id, maps of the true regions.
        geometry: by slide_id.
        nuclei_min: nuclei that a tile needs for their mean size and its variation.
        share: of a patient's tiles that count as high, and as low.
        samples: resamples of the patients.
        level: coverage of the intervals.
        rng: a name ("effects", "by centre", "between") to the generator of its resamples.

    Returns:
        Tables, a figure and sentences.
    """
    names = tuple(PATTERNS)
    tiles = tile_pathology(explained.tiles, nuclei=nuclei, regions=regions, geometry=geometry, nuclei_min=nuclei_min)
    gaps = gaps_by_patient(tiles, share=share, patterns=names)
    return TruthComparison(
        tiles=tiles,
        within=effects(gaps, samples=samples, level=level, rng=rng("effects")),
        by_centre=effects_by_centre(gaps, explained.patients, samples=samples, level=level, rng=rng("by centre")),
        shuffled=random_effects(shuffled, tiles, share=share, patterns=names),
        between=score_against_truth(explained.patients, truth, samples=samples, level=level, rng=rng("between")),
    )


def true_effects(tiles: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """Effects of the true patterns on tiles of both ends, to stand beside those of the measured ones.

    Args:
        tiles: rows of `TruthComparison.tiles` that `end_tiles` chose.
        samples: resamples of the patients.
        level: coverage of the intervals.
        rng: draws the resamples.

    Returns:
        pattern, effect, low, high, p, n.
    """
    gaps = gaps_by_patient(tiles, share=BOTH_ENDS, patterns=tuple(PATTERNS))
    return effects(gaps, samples=samples, level=level, rng=rng)
