r"""How far the parts of a score are from Shapley values, on bags so small that these can be counted out.

A tile's part of the score, :math:`a_t (w \cdot h_t - r)`, sums exactly to the score that was evaluated. It answers
"what stands in the sum for this tile?". The Shapley value (Shapley 1953; Lundberg and Lee, NeurIPS 2017) answers "what
does the score gain when this tile joins the others, averaged over all orders?":

.. math:: \phi_t = \sum_{S \not\ni t} \frac{|S|!\,(T-|S|-1)!}{T!}\,\bigl(v(S \cup t) - v(S)\bigr)

with :math:`v(S)` the score of the bag that holds only the tiles in :math:`S`, less that without any tile. Where the score
is a sum, parts and values sum to the same. They are equal for no aggregator but a plain sum, since attention is shared
out anew when a tile joins; how much they differ is a question of fact, which 2^T forward passes answer. Where the score
is no sum, integrated gradients take the place of the parts; they start at average tiles and not at none, so they may
sum to something else, and :class:`Compared` states both sums.

Integrated gradients and Shapley values are our own, some hundred lines, because captum knows neither a stack of networks
that share their tiles nor parts that are exact where the score is a sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from sarcnet.interpret.attribution.gradients import parts_of
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack

TILES_MAX = 12  # 4,096 bags
ALIKE = 0.9  # rank correlation from which the two order tiles alike


def shapley_values(worth: np.ndarray) -> np.ndarray:
    """(T,) Shapley values of a game, by the formula.

    Args:
        worth: (2^T,) worth of each coalition; bit t of its index says whether tile t is in it.
    """
    tiles = int(worth.size).bit_length() - 1
    index = np.arange(worth.size)
    size = np.array([int(k).bit_count() for k in index])
    weight = np.array([math.factorial(s) * math.factorial(tiles - s - 1) / math.factorial(tiles) for s in range(tiles)])
    values = np.empty(tiles)
    for t in range(tiles):
        without = index[(index >> t) & 1 == 0]
        values[t] = (weight[size[without]] * (worth[without | (1 << t)] - worth[without])).sum()
    return values


@dataclass(frozen=True)
class Compared:
    """parts, values: (n, T) parts of the score and Shapley values of T tiles of n patients; score: (n,) what the bag adds."""

    parts: np.ndarray
    values: np.ndarray
    score: np.ndarray

    @property
    def table(self) -> pd.DataFrame:
        """One row a patient: rank_correlation of parts and values, largest_gap, both in log-odds, and their spread."""
        rows = []
        for part, value, score in zip(self.parts, self.values, self.score, strict=True):
            rho = pd.DataFrame({"part": part, "value": value}).corr(method="spearman").iloc[0, 1]
            gap, spread = np.abs(part - value).max(), value.std()
            rows.append({"score": score, "sum_of_parts": part.sum(), "rank_correlation": rho, "largest_gap": gap,
                         "spread": spread})  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def sentence(self) -> str:
        """What the comparison says."""
        table = self.table
        if table.empty:
            return "No patient has enough tiles to count out Shapley values."
        alike = int((table["rank_correlation"] >= ALIKE).sum())
        return (
            f"In {len(table)} bags of {self.parts.shape[1]} tiles, parts and Shapley values order the tiles alike with a rank "
            f"correlation of {table['rank_correlation'].median():.2f} in the middle and "
            f"{table['rank_correlation'].min():.2f} at worst; the largest gap is {table['largest_gap'].max():.3f} log-odds, "
            f"where Shapley values spread by {table['spread'].median():.3f} within a bag. "
            f"The map of parts may be read as one of Shapley values where the correlation is {ALIKE:g} or more: in {alike} of "
            f"{len(table)} bags."
        )


def compare_with_shapley(model: TrainedStack, patients: Patients, *, use: np.ndarray, tiles: int) -> Compared:
    """Parts and exact Shapley values of the first `tiles` tiles of each patient, taken as a bag of their own.

    Args:
        model: the explained stack.
        patients: n patients; those with fewer tiles are left out.
        use: (n, E) 1 for the members that are asked for each patient; their mean is explained.
        tiles: T, at most TILES_MAX.

    Returns:
        Parts and values, a table with one row per patient, and a sentence.

    Raises:
        ValueError: T is larger than can be counted out.
    """
    if not 2 <= tiles <= TILES_MAX:
        raise ValueError(f"tiles is {tiles}, must be 2 to {TILES_MAX}")
    rows = np.flatnonzero(patients.bags.sizes >= tiles)
    mask = torch.from_numpy((np.arange(2**tiles)[:, None] >> np.arange(tiles)) & 1 == 1)  # (2^T, T)
    shared = None if model.network.additive else _gradients(model, patients.select(rows), use=use[rows], tiles=tiles)
    parts, values = [], []
    for row in rows:
        bag = torch.from_numpy(patients.bags.of(int(row))[:tiles].astype(np.float32))  # (T, d)
        share = torch.from_numpy((use[row] / use[row].sum()).astype(np.float32))  # (E,)
        clinical = torch.from_numpy(patients.clinical[row].astype(np.float32)).expand(len(mask), -1)
        every = bag.expand(len(mask), -1, -1)
        with torch.no_grad():
            worth = (model.network(every, mask, clinical).double() @ share.double()).numpy()  # (2^T,)
            if shared is None:
                exact = model.network.parts(every[-1:], mask[-1:], clinical[-1:]).tile[0] @ share  # (T,)
                parts.append(exact.numpy().astype(np.float64))
        values.append(shapley_values(worth - worth[0]))
    shape = (len(rows), tiles)
    counted = np.reshape(values, shape)
    return Compared(np.reshape(parts if shared is None else shared, shape), counted, counted.sum(axis=1))


def _gradients(model: TrainedStack, patients: Patients, *, use: np.ndarray, tiles: int) -> np.ndarray:
    """(n, T) integrated gradients of the bags that hold the first tiles alone."""
    bags = patients.bags
    first = np.concatenate([start + np.arange(tiles) for start in bags.offsets[:-1]] or [np.zeros(0, int)])
    offsets = tiles * np.arange(len(patients) + 1, dtype=np.int64)
    few = replace(
        bags, features=bags.features[first], offsets=offsets, tiles=bags.tiles.iloc[first].reset_index(drop=True)
    )
    found = parts_of(model, replace(patients, bags=few), use=use).found.tiles
    return found["contribution"].to_numpy(float).reshape(len(patients), tiles)
