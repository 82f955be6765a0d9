"""Simulated readers, whose error is known: they try the review out before pathologists spend an evening on it.

A simulated reader sees the right category of a tile with a stated probability, and one category too high or too low
otherwise. From that the agreement which an analysis ought to find follows exactly, so that analysis can be judged: by
:func:`implied_kappa`. Nothing here imitates pathologists, and every figure has to call these readers simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.interpret.review.design import CANNOT_JUDGE, CATEGORIES, QUESTIONS
from sarcnet.interpret.review.kappa import NO_ANSWER, weighted_kappa
from sarcnet.interpret.review.sheet import ANSWER_COLUMNS
from sarcnet.morphometry.geometry import TileGeometry

#: question: column of the truth
TRUTH = {
    "cellularity": "cellularity_per_mm2",
    "atypia": "nuclear_area_um2",
    "anisokaryosis": "anisokaryosis_cv",
    "necrosis": "necrosis_fraction",
    "mitoses": "mitoses",
}
#: question: least true values of the answers 1, 2 and 3; for the others these are the quartiles over the given tiles
FIXED_CUTS = {"necrosis": (0.02, 1 / 3, 2 / 3), "mitoses": (1.0, 2.0, 3.0)}


@dataclass(frozen=True)
class SimulatedReader:
    """right: probability of the true category. upward: of a wrong answer, probability that it is one too high.

    A wrong answer that would leave the scale stays at its end, so the ends are read right more often.
    """

    name: str
    right: float
    upward: float = 0.5

    def chances(self) -> np.ndarray:
        """(CATEGORIES, CATEGORIES) probability of each answer (column) for each true category (row)."""
        wrong = 1 - self.right
        table = self.right * np.eye(CATEGORIES)
        for true in range(CATEGORIES):
            table[true, min(true + 1, CATEGORIES - 1)] += wrong * self.upward
            table[true, max(true - 1, 0)] += wrong * (1 - self.upward)
        return table


def mitoses_in_tiles(
    tiles: pd.DataFrame, *, nuclei: Mapping[str, Path], geometry: Mapping[str, TileGeometry]
) -> np.ndarray:
    """(n,) true mitoses in each tile. tiles: slide_id, x_px, y_px; nuclei, geometry: by slide_id."""
    counts = pd.Series(0, index=tiles.index)
    for slide_id, own in tiles.groupby("slide_id", sort=True):
        place = geometry[str(slide_id)]
        table = pd.read_parquet(nuclei[str(slide_id)], columns=["x_um", "y_um", "class"])
        x, y = table.loc[table["class"] == "mitosis", ["x_um", "y_um"]].to_numpy(float).T
        left, top = (own[[name]].to_numpy(float) * place.mpp for name in ("x_px", "y_px"))  # (tiles, 1)
        inside = (x >= left) & (x < left + place.tile_um) & (y >= top) & (y < top + place.tile_um)
        counts[own.index] = inside.sum(axis=1)
    return counts.to_numpy()


def true_categories(truth: pd.DataFrame, *, among: pd.DataFrame | None = None) -> pd.DataFrame:
    """Category 0 to 3 of each question, NO_ANSWER where the truth is unknown (too few nuclei); rows as in `truth`.

    Args:
        truth: columns of TRUTH.
        among: tiles over which quartiles are taken; left out, `truth` itself.

    Raises:
        SarcnetError: naming columns that are missing.
    """
    lacking = [name for name in TRUTH.values() if name not in truth]
    if lacking:
        raise SarcnetError(f"Simulated readers need the true {', '.join(lacking)} of each tile.")
    among = truth if among is None else among
    found = {}
    for question, column in TRUTH.items():
        cuts = FIXED_CUTS.get(question)
        if cuts is None:
            known = among[column].dropna()
            cuts = tuple(known.quantile([0.25, 0.5, 0.75])) if len(known) else (np.nan,) * 3
        values = truth[column].to_numpy(float)
        category = (values[:, None] >= np.array(cuts)).sum(axis=1)
        found[question] = np.where(np.isnan(values), NO_ANSWER, category)
    return pd.DataFrame(found, index=truth.index)


def fill_sheet(
    reader: SimulatedReader, key: pd.DataFrame, categories: pd.DataFrame, *, path: Path, rng: np.random.Generator
) -> None:
    """Write the table that this reader would send back: every item of the key, errors drawn anew on a second view.

    categories: of `true_categories`, by item_id of the tiles of the key. Checks are answered as asked.
    """
    chances = reader.chances().cumsum(axis=1)
    rows = []
    for item in key.itertuples():
        row = {"sheet_id": item.sheet_id, "reader": reader.name, "item_id": item.item_id, "comment": ""}
        for question in QUESTIONS:
            drawn = rng.random()
            if item.kind == "check":
                row[question] = str(item.expected).partition("|")[0]
                continue
            true = int(categories.at[item.first_item_id or item.item_id, question])
            seen = int((drawn >= chances[true][:-1]).sum())
            row[question] = CANNOT_JUDGE if true == NO_ANSWER else str(seen)
        rows.append(row)
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(ANSWER_COLUMNS)).to_csv(temporary, index=False)


def implied_kappa(readers: Sequence[SimulatedReader], categories: np.ndarray, *, measure: str) -> float:
    """κ that the readers' known error implies on tiles of these true categories (n,), for a measure of `agreement_table`.

    The joint frequencies of two views of a tile are the product of both views' chances, given the truth; averaged over the
    tiles they give κ without any drawing.

    Raises:
        SarcnetError: another measure.
    """
    true = np.asarray(categories)
    chances = [reader.chances()[true[true >= 0]] for reader in readers]  # (n, 4) for each reader
    if measure == "within":
        return float(weighted_kappa(sum(view.T @ view for view in chances)))
    pairs = [first.T @ second / len(first) for first, second in combinations(chances, 2)]
    if measure == "weighted":
        return float(np.mean([weighted_kappa(joint) for joint in pairs]))
    if measure == "fleiss":
        agree = np.mean([np.trace(joint) for joint in pairs])
        chance = float((np.mean([view.mean(axis=0) for view in chances], axis=0) ** 2).sum())
        return float((agree - chance) / (1 - chance)) if chance < 1 else float("nan")
    raise SarcnetError(f"There is no measure of agreement called {measure}: choose fleiss, weighted or within.")


def with_implied(
    table: pd.DataFrame, readers: Sequence[SimulatedReader], categories: pd.DataFrame, *, repeated: Sequence[str]
) -> pd.DataFrame:
    """`agreement_table` with `implied`: what it would show without the chance of drawing.

    categories: by item_id of the tiles; repeated: item_id of those shown twice.
    """
    where = {"within": list(repeated)}
    implied = [
        implied_kappa(readers, categories.loc[where.get(row.measure, slice(None)), row.question].to_numpy(),
                      measure=row.measure)
        for row in table.itertuples()
    ]  # fmt: skip
    return table.assign(implied=implied)


def truth_of_items(
    key: pd.DataFrame, tiles: pd.DataFrame, *, nuclei: Mapping[str, Path], geometry: Mapping[str, TileGeometry]
) -> pd.DataFrame:
    """True categories of the tiles of a key, by item_id.

    Args:
        key: of the review.
        tiles: of `against_truth.tile_pathology`, all tiles of the cohort: the quartiles are theirs, but for mitoses, which
            are counted on the tiles of the key only.
        nuclei, geometry: by slide_id.

    Raises:
        SarcnetError: the key names a tile that is not among `tiles`.
    """
    shown = key.loc[key["kind"] == "tile", ["item_id", "slide_id", "tile"]]
    known = shown.merge(
        tiles.drop(columns="item_id", errors="ignore"), on=["slide_id", "tile"], how="left", indicator=True
    )
    strange = known.loc[known["_merge"] != "both", "item_id"]
    if len(strange):
        raise SarcnetError(f"The truth of {len(strange)} tiles of the key is unknown, for example {strange.iloc[0]}.")
    known["mitoses"] = mitoses_in_tiles(known, nuclei=nuclei, geometry=geometry)
    return true_categories(known, among=tiles).set_index(known["item_id"])


def simulate_sheets(
    readers: Sequence[SimulatedReader],
    key: pd.DataFrame,
    categories: pd.DataFrame,
    *,
    folder: Path,
    rng: np.random.Generator,
) -> list[Path]:
    """The tables that these readers would send back, one file each."""
    paths = [folder / f"simulated_reader_{reader.name}.csv" for reader in readers]
    for reader, path in zip(readers, paths, strict=True):
        fill_sheet(reader, key, categories, path=path, rng=rng)
    return paths


@dataclass(frozen=True)
class SimulatedReview:
    """Who read, the true category of each tile by item_id, which tiles were shown twice, and the files of the answers."""

    readers: Sequence[SimulatedReader]
    categories: pd.DataFrame
    repeated: Sequence[str]
    sheets: list[Path]

    def with_implied(self, agreement: pd.DataFrame) -> pd.DataFrame:
        """`agreement` with the κ that the readers' error implies; see :func:`with_implied`."""
        return with_implied(agreement, self.readers, self.categories, repeated=self.repeated)


def simulate_review(
    chances: Mapping[str, float],
    key: pd.DataFrame,
    tiles: pd.DataFrame,
    *,
    nuclei: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    folder: Path,
    rng: np.random.Generator,
) -> SimulatedReview:
    """Let simulated pathologists fill in a review sheet, with errors of a known size.

    Args:
        chances: by name, the probability of the right answer.
        key: of the review.
        tiles: true patterns of all tiles of the cohort.
        nuclei: by slide_id, tables of the true nuclei.
        geometry: by slide_id.
        folder: where the filled tables are written.
        rng: draws the errors.

    Returns:
        Files as pathologists would send them back, and what they ought to show.
    """
    readers = [SimulatedReader(name, right) for name, right in chances.items()]
    categories = truth_of_items(key, tiles, nuclei=nuclei, geometry=geometry)
    sheets = simulate_sheets(readers, key, categories, folder=folder, rng=rng)
    twice = key.loc[key["kind"] == "repeat", "first_item_id"]
    return SimulatedReview(readers, categories, list(twice), sheets)
