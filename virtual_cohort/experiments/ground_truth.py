"""Do the tiles that raise the score look different, in the truth that only a virtual cohort has?

The abstract of the study names three patterns, found by pathologists looking at tiles: atypia, tumour cellularity and
anisokaryosis. Here each of them is *counted* from the true nuclei of a tile, cellularity on its living tumour; beside
them stands necrosis, which the paper does not name but the grade counts. Tiles are compared within each patient, the
share with the highest contribution against the share with the lowest, and the patient is the unit: differences between
patients (stage, stain, hospital) cannot pose as differences between tiles, and patients with many tiles count once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.evaluation.metrics.correlation import spearman
from sarcnet.evaluation.metrics.multiple_testing import holm
from sarcnet.interpret.attribution.gradients import FEW_POINTS, parts_of
from sarcnet.interpret.attribution.sanity import shuffled_network
from sarcnet.model.crossval import fold_matrix
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack
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
P_MAX, PATIENTS_MIN = 0.05, 10
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


def gaps_by_patient(tiles: pd.DataFrame, *, share: float, patterns: Sequence[str] = tuple(PATTERNS)) -> pd.DataFrame:
    """For each patient and pattern: mean over the tiles of highest minus mean over those of lowest contribution.

    In units of the pattern's standard deviation over all tiles given, so that patterns compare; a pattern that is the same
    everywhere has none (NaN). Patients with fewer than two tiles at an end, or without the pattern there, are NaN.

    Args:
        tiles: patient_id, slide_id, tile, contribution and the patterns.
        share: of a patient's tiles that count as high, and as low.
        patterns: columns to compare.
    """
    rows = {}
    names = list(patterns)
    spread = tiles[names].std().replace(0, np.nan)
    for patient_id, own in tiles.groupby("patient_id", sort=True):
        count = int(len(own) * share)
        ordered = own.sort_values(["contribution", "slide_id", "tile"])
        ends = ordered.tail(count), ordered.head(count)
        high, low = (end[names].mean() if count >= 2 else pd.Series(np.nan, index=names) for end in ends)
        rows[patient_id] = (high - low) / spread
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def effects(gaps: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """Mean gap over patients, with an interval and a P from resampling patients: pattern, effect, low, high, p, n.

    low, high: percentile interval. p: how often a resampled mean lies on the other side of zero, two-sided, then
    raised by Holm's rule for the number of patterns looked at.
    """
    rows = []
    for name in gaps:
        values = gaps[name].dropna().to_numpy()
        low = high = p = np.nan
        if len(values) >= 2:
            means = values[rng.integers(len(values), size=(samples, len(values)))].mean(axis=1)
            low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
            p = min(1.0, 2 * (min((means <= 0).sum(), (means >= 0).sum()) + 1) / (samples + 1))
        effect = values.mean() if len(values) else np.nan
        rows.append({"pattern": name, "effect": effect, "low": low, "high": high, "p": p, "n": len(values)})
    found = pd.DataFrame(rows)
    return found.assign(p=holm(found["p"].to_numpy()))


def effects_by_centre(
    gaps: pd.DataFrame, patients: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """:func:`effects` in each hospital: centre before its columns. patients: patient_id and centre."""
    centre = patients.set_index("patient_id")["centre"].reindex(gaps.index)
    tables = []
    for name, own in gaps.groupby(centre, sort=True):
        found = effects(own, samples=samples, level=level, rng=rng)
        found.insert(0, "centre", name)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def shuffled_contributions(
    model: TrainedStack, patients: Patients, *, folds: pd.DataFrame, networks: int, rng: np.random.Generator
) -> list[pd.DataFrame]:
    """Contributions of tiles in networks that have learnt nothing: the trained weights, shuffled within each array.

    One table a network: patient_id, slide_id, tile, contribution, of the members that left the patient out.
    """
    left_out = fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members) == 1
    shown = []
    for _ in range(networks):
        random = shuffled_network(model, names=tuple(model.network.parameter_arrays()), rng=rng)
        found = parts_of(random, patients, use=left_out, points=FEW_POINTS).found.tiles
        shown.append(found[["patient_id", "slide_id", "tile", "contribution"]])
    return shown


def random_effects(
    shuffled: Sequence[pd.DataFrame], tiles: pd.DataFrame, *, share: float, patterns: Sequence[str] = tuple(PATTERNS)
) -> pd.DataFrame:
    """Effects that networks show which have learnt nothing.

    A pattern that such networks "react to" as strongly as the trained one is a property of the pictures and the encoder,
    not of what was learnt (the sanity check of Adebayo et al., NeurIPS 2018).

    Args:
        shuffled: of :func:`shuffled_contributions`.
        tiles: slide_id, tile and the patterns; only these tiles are compared, ordered by the shuffled networks.

    Returns:
        (networks, patterns) mean gaps, one row a network.
    """
    pathology = tiles[["slide_id", "tile", *patterns]]
    rows = [
        gaps_by_patient(shown.merge(pathology, on=["slide_id", "tile"]), share=share, patterns=patterns).mean()
        for shown in shuffled
    ]
    return pd.DataFrame(rows).reset_index(drop=True)


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


def _spoken(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def verdicts(found: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    """A sentence for each pattern: does the model react to it, how surely, and more than networks that learnt nothing?

    "A reaction" needs PATIENTS_MIN patients, a P below P_MAX after Holm, an interval without zero, and an effect that at
    most P_MAX of the shuffled networks reach.
    """
    said = []
    for row in found.itertuples():
        name, what = PATTERNS[row.pattern]
        size = f"{row.effect:+.2f} standard deviations ({row.low:+.2f} to {row.high:+.2f}, {row.n} patients)"
        beyond = (reference[row.pattern].abs() >= abs(row.effect)).mean()
        if np.isnan(row.low) or row.n < PATIENTS_MIN:
            said.append(f"**{name}** ({what}) cannot be judged: {row.n} patients have enough tiles and nuclei.")
        elif row.low <= 0 <= row.high:
            said.append(f"**{name}** ({what}): {size}; the interval includes zero, so no reaction is shown.")
        elif row.p >= P_MAX:
            corrected = f"P {_spoken(row.p)} for {len(found)} patterns"
            said.append(f"**{name}** ({what}): {size}; {corrected}, so no reaction is shown.")
        else:
            way = "more" if row.effect > 0 else "less"
            meaning = "a reaction" if beyond <= P_MAX else "so it says nothing of what was learnt"
            said.append(
                f"**{name}** ({what}): tiles that raise the score show {way} of it, {size}; P {_spoken(row.p)} for "
                f"{len(found)} patterns; {beyond:.0%} of {len(reference)} networks with shuffled weights do so as strongly, "
                f"{meaning}."
            )
    return said


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of effects as a reader sees it: patterns in words with their units, at the head of each row, rounded."""
    heads = [name for name in ("centre", "pattern") if name in table]
    return table.assign(pattern=table["pattern"].map(WORDS)).set_index(heads).round(3)
