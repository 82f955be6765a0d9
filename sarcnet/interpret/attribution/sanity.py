"""Would a network that learnt nothing draw the same map? If so, the map shows the picture and not the model.

Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018: replace the weights of the network by random ones, from
the last layer downwards, and see how fast the map is lost. Here weights are shuffled within each array, so that their
sizes stay; and in one more check the tiles of a patient swap their features, after which the map must follow the
features to their new places and resemble the old one no more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sarcnet.evaluation.metrics.correlation import spearman
from sarcnet.interpret.attribution.gradients import FEW_POINTS, parts_of
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack

TILES_MIN = 5  # for a rank correlation within a patient
ALIKE = 0.3  # rank correlation from which two maps resemble each other
SWAPPED = "features swapped among the patient's tiles"


def cascade(network: StackedNetwork) -> dict[str, tuple[str, ...]]:
    """Arrays whose weights are shuffled, step by step from the score downwards."""
    rule = network.aggregator_names
    there = dict(network.named_parameters())
    last = (*network.fusion_names, *(["image_weight"] if "image_weight" in there else []))
    steps: dict[str, tuple[str, ...]] = {"weights of the score shuffled": last}
    if rule:
        steps["… and of the attention"] = (*last, *rule)
    steps["… and of the embedding"] = (*last, *rule, "tile_weight", "tile_bias")
    return steps


def shuffled_network(model: TrainedStack, *, names: tuple[str, ...], rng: np.random.Generator) -> TrainedStack:
    """The same stack with the weights of some arrays in another order, member by member."""
    network = copy.deepcopy(model.network)
    arrays = network.parameter_arrays()
    for name in names:
        flat = arrays[name].reshape(len(arrays[name]), -1)
        arrays[name] = rng.permuted(flat, axis=1).reshape(arrays[name].shape)
    network.load_parameter_arrays(arrays)
    return TrainedStack(model.protocol, model.members, network)


def swapped_tiles(patients: Patients, *, rng: np.random.Generator) -> Patients:
    """Within each patient the tiles keep their places and swap their features."""
    bags = patients.bags
    order = np.concatenate(
        [start + rng.permutation(size) for start, size in zip(bags.offsets[:-1], bags.sizes, strict=True)]
        or [np.zeros(0, int)]
    )
    return replace(patients, bags=replace(bags, features=bags.features[order]))


@dataclass(frozen=True)
class MapSimilarity:
    """table: one row per check and repeat: check, repeat, correlation, n (patients with at least TILES_MIN tiles)."""

    table: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """One row per check: mean correlation over the repeats, and the lowest and highest."""
        table = self.table.groupby("check", sort=False)["correlation"].agg(["mean", "min", "max"])
        return table.rename(columns={"mean": "likeness of the map", "min": "lowest", "max": "highest"})

    @property
    def sentence(self) -> str:
        """Whether maps of networks all of whose weights were shuffled resemble the trained one's, and whether the map moves
        when tiles swap their features.
        """
        last = [check for check in self.table["check"].unique() if check != SWAPPED][-1]
        likeness = self.table.loc[self.table["check"] == last, "correlation"].mean()
        if np.isnan(likeness):
            return "No patient has enough tiles for this check."
        verdict = (
            "the maps show what was learnt and not merely the picture"
            if abs(likeness) < ALIKE
            else "part of what the maps show would be there without any learning: read them with care"
        )
        swapped = self.table.loc[self.table["check"] == SWAPPED, "correlation"].mean()
        moves = (
            "the map moves with the features"
            if abs(swapped) < ALIKE
            else "the map hardly moves, so it shows little of them"
        )
        return (
            f"With all weights shuffled, maps resemble the trained one's by {likeness:+.2f} (rank correlation): {verdict}. "
            f"With the features of a patient's tiles swapped, by {swapped:+.2f}: {moves}."
        )


def map_similarity(
    model: TrainedStack, patients: Patients, *, use: np.ndarray, repeats: int, rng: np.random.Generator
) -> MapSimilarity:
    """How alike maps are before and after: Spearman's correlation over the tiles of a patient, mean over patients.

    Args:
        model: the explained stack.
        patients: n patients.
        use: (n, E) 1 for the members that are asked for each patient.
        repeats: random networks (and swaps) for each step.
        rng: draws them.

    Returns:
        The correlations, their summary and a sentence.
    """
    before = _map(model, patients, use=use)
    rows = []
    for repeat in range(repeats):
        for check, names in cascade(model.network).items():
            random = shuffled_network(model, names=names, rng=rng)
            rows.append((check, repeat, *_alike(before, _map(random, patients, use=use))))
        swapped = _map(model, swapped_tiles(patients, rng=rng), use=use)
        rows.append((SWAPPED, repeat, *_alike(before, swapped)))
    return MapSimilarity(pd.DataFrame(rows, columns=["check", "repeat", "correlation", "n"]))


def _map(model: TrainedStack, patients: Patients, *, use: np.ndarray) -> pd.DataFrame:
    return parts_of(model, patients, use=use, points=FEW_POINTS).found.tiles


def _alike(before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, int]:
    pairs = np.column_stack([before["contribution"], after["contribution"]])
    rows_of = before.reset_index(drop=True).groupby("patient_id").indices
    rhos = np.array([spearman(pairs[rows]) for rows in rows_of.values() if len(rows) >= TILES_MIN])
    rhos = rhos[np.isfinite(rhos)]
    return (float(np.mean(rhos)) if len(rhos) else float("nan"), len(rhos))
