"""What the server does with the hospitals' changes, array by array and member by member.

A change is Δ_k = θ_k - θ: what hospital k's training did to the weights it received. All sums run in float64 and in
the order of the hospitals' names. With the mean and the step "replace" this is θ + Σ_k (n_k / Σ n) Δ_k, the mean of the
trained weights. Arrays are named, each (E, ...) with the members first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarcnet.compendium.seeds import rng
from sarcnet.federated.strategies import StrategyConfig

Arrays = dict[str, np.ndarray]


def weighted_mean(arrays: Sequence[Arrays], *, patients: Sequence[np.ndarray]) -> Arrays:
    """Mean over hospitals with each member's own weights. arrays: per hospital name → (E, ...); patients: per hospital
    (E,).

    Returns float64.
    """
    share = shares(patients)
    mean: Arrays = {}
    for name in arrays[0]:
        total = np.zeros(arrays[0][name].shape, dtype=np.float64)
        for own, part in zip(arrays, share, strict=True):
            total += _by_member(part, total.ndim) * own[name].astype(np.float64)
        mean[name] = total
    return mean


def shares(patients: Sequence[np.ndarray]) -> np.ndarray:
    """(hospitals, E): each hospital's share of every member's training patients."""
    n = np.stack([np.asarray(p, dtype=np.float64) for p in patients])
    return n / n.sum(axis=0)


def _by_member(values: np.ndarray, ndim: int) -> np.ndarray:
    return values.reshape(-1, *[1] * (ndim - 1))


def changes(trained: Arrays, *, received: Arrays) -> Arrays:
    """Trained minus received, float64."""
    return {name: trained[name].astype(np.float64) - received[name].astype(np.float64) for name in received}


def norms(change: Arrays) -> np.ndarray:
    """(E,): L2 norm of each member's change over all arrays."""
    squares = [(a**2).reshape(len(a), -1).sum(axis=1) for a in change.values()]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def clip(change: Arrays, *, norm: float) -> Arrays:
    """Scale a member's change down to this L2 norm where it is longer (Abadi et al., CCS 2016)."""
    scale = np.minimum(1.0, norm / np.maximum(norms(change), 1e-300))
    return {name: a * _by_member(scale, a.ndim) for name, a in change.items()}


def median(arrays: Sequence[Arrays]) -> Arrays:
    """Coordinate-wise median over hospitals; of two it is their mean."""
    return {name: np.median(np.stack([own[name] for own in arrays]), axis=0) for name in arrays[0]}


def trimmed_mean(arrays: Sequence[Arrays]) -> Arrays:
    """Coordinate-wise mean without the lowest and the highest hospital; of one or two hospitals the mean of all."""
    mean: Arrays = {}
    for name in arrays[0]:
        values = np.sort(np.stack([own[name] for own in arrays]), axis=0)
        mean[name] = (values[1:-1] if len(values) > 2 else values).mean(axis=0)
    return mean


def noise_std(recipe: StrategyConfig, *, patients: Sequence[np.ndarray]) -> np.ndarray:
    """(E,): standard deviation of the noise on the mean change, noise_multiplier times a hospital's greatest influence.

    The influence of a hospital on the mean is at most its share times clip_norm; the largest share counts.
    """
    return np.asarray(recipe.noise_multiplier * recipe.clip_norm * shares(patients).max(axis=0))


def combine(recipe: StrategyConfig, *, own: Sequence[Arrays], patients: Sequence[np.ndarray], round: int) -> Arrays:
    """One change from those of the hospitals: clipped, combined, noised as the recipe says."""
    if recipe.clip_norm:
        own = [clip(change, norm=recipe.clip_norm) for change in own]
    if recipe.combine == "median":
        return median(own)
    if recipe.combine == "trimmed_mean":
        return trimmed_mean(own)
    mean = weighted_mean(own, patients=patients)
    if recipe.noise_multiplier:
        std = noise_std(recipe, patients=patients)
        for name in sorted(mean):
            drawn = rng(recipe.noise_seed, "central noise", round, name).normal(size=mean[name].shape)
            mean[name] = mean[name] + _by_member(std, drawn.ndim) * drawn
    return mean


def server_step(recipe: StrategyConfig, *, weights: Arrays, change: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    """New weights (float32) and the server's memory after one round (float64; empty for "replace").

    adam, yogi (Reddi et al., ICLR 2021, algorithm 2): m ← β₁ m + (1 - β₁) Δ; v ← β₂ v + (1 - β₂) Δ², for yogi
    v - (1 - β₂) Δ² sign(v - Δ²); θ ← θ + η m / (√v + τ). m starts at 0, v at τ².
    """
    if recipe.server_step == "replace":
        return {name: (weights[name].astype(np.float64) + change[name]).astype(np.float32) for name in weights}, {}
    new: Arrays = {}
    memory: Arrays = {}
    for name, delta in change.items():
        first = state.get(f"m.{name}", np.zeros_like(delta))
        second = state.get(f"v.{name}", np.full_like(delta, recipe.adaptivity**2))
        first = recipe.beta1 * first + (1 - recipe.beta1) * delta
        square = delta**2
        if recipe.server_step == "adam":
            second = recipe.beta2 * second + (1 - recipe.beta2) * square
        else:
            second = second - (1 - recipe.beta2) * square * np.sign(second - square)
        step = recipe.server_rate * first / (np.sqrt(second) + recipe.adaptivity)
        new[name] = (weights[name].astype(np.float64) + step).astype(np.float32)
        memory |= {f"m.{name}": first, f"v.{name}": second}
    return new, memory
