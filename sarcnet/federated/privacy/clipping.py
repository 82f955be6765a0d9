"""The two halves of the Gaussian mechanism, used at the server (unit: a hospital) and at a hospital (unit: a patient).

Clipping bounds what one unit can add to a sum; noise in units of that bound hides whether it was there (Abadi et al., CCS
2016). Arrays are named, each (E, ...) with the members first; every member is clipped on its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sarcnet.compendium.seeds import rng

Arrays = dict[str, np.ndarray]


def by_member(values: np.ndarray, ndim: int) -> np.ndarray:
    """(E,) as (E, 1, ...), to multiply an array of so many axes with."""
    return values.reshape(-1, *[1] * (ndim - 1))


def norms(change: Mapping[str, np.ndarray]) -> np.ndarray:
    """(E,): L2 norm of each member's change over all arrays."""
    squares = [(a**2).reshape(len(a), -1).sum(axis=1) for a in change.values()]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def clip(change: Mapping[str, np.ndarray], *, norm: float) -> Arrays:
    """Scale a member's change down to this L2 norm where it is longer."""
    scale = np.minimum(1.0, norm / np.maximum(norms(change), 1e-300))
    return {name: a * by_member(scale, a.ndim) for name, a in change.items()}


def add_noise(
    arrays: Mapping[str, np.ndarray], *, std: np.ndarray | float, seed: int, names: tuple[str | int, ...]
) -> Arrays:
    """Gaussian noise on every number. std: of all, or (E,) of each member; names: of the generator, for instance a round."""
    noised: Arrays = {}
    for name, array in sorted(arrays.items()):
        drawn = rng(seed, *names, name).normal(size=array.shape)
        noised[name] = array + (by_member(std, drawn.ndim) if isinstance(std, np.ndarray) else std) * drawn
    return noised
