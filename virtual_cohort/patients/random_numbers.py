"""The dice of a patient: each patient has a generator of its own, so that adding one changes no other.

A patient's generator gives a fixed row of standard normal and uniform numbers with names. Everything else about the
patients is plain arithmetic on columns of those numbers, done for all patients at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sarcnet.compendium.seeds import rng

# New names go to the end: the order decides which number a name gets.
NORMALS = (
    *("age", "size", "malignancy", "cellularity", "nuclear_area", "anisokaryosis", "hyperchromasia", "mitoses"),
    *("necrosis", "read_mitoses", "read_necrosis", "read_differentiation"),
)
UNIFORMS = (
    *("sex", "depth", "site", "histotype", "any_necrosis", "differentiation", "misread", "misread_way", "margins"),
    *("chemotherapy", "chemotherapy_time", "radiotherapy", "radiotherapy_time", "metastasis", "death", "loss"),
    *("administrative", "missing_size", "missing_depth", "missing_site", "missing_differentiation", "missing_mitoses"),
    *("missing_necrosis", "missing_grade", "missing_margins", "missing_chemotherapy", "missing_radiotherapy"),
    *("missing_age", "read_mitoses_count"),
)


@dataclass(frozen=True)
class RandomNumbers:
    """Standard numbers of n patients: `normal[name]` and `uniform[name]` are (n,)."""

    normal: dict[str, np.ndarray]
    uniform: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.normal[NORMALS[0]])


def named_draws(seed: int, *, centre: str, series: str, numbers: Sequence[int]) -> RandomNumbers:
    """Draws of patients `numbers` of one series at one centre, each from the generator of its own name."""
    rows = [_row(rng(seed, "cohort", centre, series, int(number))) for number in numbers]
    return _columns(np.array(rows).reshape(len(rows), len(NORMALS) + len(UNIFORMS)))


def mass_draws(generator: np.random.Generator, *, n: int) -> RandomNumbers:
    """Draws of n patients from one generator: for calibration on very many patients who get no slides."""
    return _columns(np.hstack([generator.standard_normal((n, len(NORMALS))), generator.random((n, len(UNIFORMS)))]))


def _row(generator: np.random.Generator) -> np.ndarray:
    # One number at a time by kind, so that a name added at the end of either tuple would not shift the other kind.
    normals, uniforms = generator.spawn(2)
    return np.concatenate([normals.standard_normal(len(NORMALS)), uniforms.random(len(UNIFORMS))])


def _columns(table: np.ndarray) -> RandomNumbers:
    normal = {name: table[:, k] for k, name in enumerate(NORMALS)}
    uniform = {name: table[:, len(NORMALS) + k] for k, name in enumerate(UNIFORMS)}
    return RandomNumbers(normal, uniform)
