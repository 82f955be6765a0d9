"""The patients of a virtual cohort, of all its hospitals and series, without their slides."""

from __future__ import annotations

from collections.abc import Mapping

from sarcnet.cohort.read import stack
from sarcnet.cohort.settings import Control
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import virtual_centre
from virtual_cohort.patients.controls import controlled
from virtual_cohort.patients.simulate import VirtualPatients, virtual_patients


def simulate_cohort(
    seed: int, *, counts: Mapping[str, Mapping[str, int]], control: Control = "none"
) -> dict[str, VirtualPatients]:
    """Patients of every centre, training before validation.

    Args:
        seed: root of all randomness.
        counts: patients by centre and series, for example {"CLB": {"training": 221, "validation": 93}}.
        control: what must not be found in it; see :mod:`virtual_cohort.patients.controls`.
    """
    cohort = {}
    for name, series in counts.items():
        parts = []
        for part, count in series.items():
            drawn = virtual_patients(seed, centre=virtual_centre(name), series=part, count=count)
            parts.append(controlled(drawn, control=control, generator=rng(seed, "control", name, part)))
        cohort[name] = VirtualPatients(stack([part.table for part in parts]), stack([part.truth for part in parts]))
    return cohort
