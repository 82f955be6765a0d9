"""What training has to know of the patients before it starts: moments and counts that add over hospitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from sarcnet.model.hazard import HazardCounts, death_counts, hazard_counts
from sarcnet.model.moments import Moments, table_moments, tile_moments
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients


@dataclass(frozen=True)
class TrainingStatistics:
    """Moments of tiles (E, d) and clinical columns (E, p), metastases and patients at risk (E, K), deaths without
    metastasis and patients at risk of it (E, K), training patients (E,). They add over hospitals."""

    tiles: Moments | None
    clinical: Moments
    hazard: HazardCounts
    death: HazardCounts
    patients: np.ndarray

    def __add__(self, other: TrainingStatistics) -> TrainingStatistics:
        tiles = self.tiles + other.tiles if self.tiles is not None and other.tiles is not None else None
        hazard, death = self.hazard + other.hazard, self.death + other.death
        return TrainingStatistics(tiles, self.clinical + other.clinical, hazard, death, self.patients + other.patients)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named float64 arrays with the members first: what leaves the hospital."""
        arrays = {"patients": self.patients}
        for part in ("tiles", "clinical", "hazard", "death"):
            value = getattr(self, part)
            if value is not None:
                arrays |= {f"{part}.{f.name}": getattr(value, f.name) for f in fields(value)}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TrainingStatistics:
        """The reverse of to_arrays."""

        def moments(part: str) -> Moments:
            return Moments(*(np.asarray(arrays[f"{part}.{f.name}"]) for f in fields(Moments)))

        def counts(part: str) -> HazardCounts:
            return HazardCounts(*(np.asarray(arrays[f"{part}.{f.name}"]) for f in fields(HazardCounts)))

        tiles = moments("tiles") if "tiles.count" in arrays else None
        return cls(tiles, moments("clinical"), counts("hazard"), counts("death"), np.asarray(arrays["patients"]))


def training_statistics(patients: Patients, *, weights: np.ndarray, image: bool = True) -> TrainingStatistics:
    """Statistics of each member's training patients among these. weights: (n, E) 0/1."""
    return TrainingStatistics(
        tiles=tile_moments(patients.bags, weights) if image else None,
        clinical=table_moments(patients.clinical, weights),
        hazard=hazard_counts(patients.outcome, weights),
        death=death_counts(patients.outcome, weights),
        patients=weights.astype(np.float64).sum(axis=0),
    )


def apply_statistics(stack: StackedNetwork, statistics: TrainingStatistics) -> None:
    """Set standardisation and starting hazard of a stack from statistics (one hospital's, or the sum)."""
    stack.set_statistics(
        tiles=statistics.tiles, clinical=statistics.clinical, hazard=statistics.hazard, death=statistics.death
    )
