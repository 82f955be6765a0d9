"""What the server does with the hospitals' changes, array by array and member by member.

A change is Δ_k = θ_k - θ: what hospital k's training did to the weights it received. All sums run in float64 and in
the order of the hospitals' names. With the mean and the step "replace" this is θ + Σ_k (n_k / Σ n) Δ_k, the mean of the
trained weights. Arrays are named, each (E, ...) with the members first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarcnet.federated.privacy.clipping import Arrays, add_noise, by_member, clip
from sarcnet.federated.strategies import StrategyConfig


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
            total += by_member(part, total.ndim) * own[name].astype(np.float64)
        mean[name] = total
    return mean


def shares(patients: Sequence[np.ndarray]) -> np.ndarray:
    """(hospitals, E): each hospital's share of every member's training patients."""
    n = np.stack([np.asarray(p, dtype=np.float64) for p in patients])
    return n / n.sum(axis=0)


def changes(trained: Arrays, *, received: Arrays) -> Arrays:
    """Trained minus received, float64."""
    return {name: trained[name].astype(np.float64) - received[name].astype(np.float64) for name in received}


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


def noise_std(strategy: StrategyConfig, *, patients: Sequence[np.ndarray]) -> np.ndarray:
    """(E,): standard deviation of the noise on the mean change, noise_multiplier times a hospital's greatest influence.

    The influence of a hospital on the mean is at most its share times clip_norm; the largest share counts.
    """
    return np.asarray(strategy.noise_multiplier * strategy.clip_norm * shares(patients).max(axis=0))


def combine(strategy: StrategyConfig, *, own: Sequence[Arrays], patients: Sequence[np.ndarray], round: int) -> Arrays:
    """One change from those of the hospitals: clipped, combined, noised as the strategy says."""
    if strategy.clip_norm:
        own = [clip(change, norm=strategy.clip_norm) for change in own]
    if strategy.combine == "median":
        return median(own)
    if strategy.combine == "trimmed_mean":
        return trimmed_mean(own)
    mean = weighted_mean(own, patients=patients)
    if strategy.noise_multiplier:
        std = noise_std(strategy, patients=patients)
        return add_noise(mean, std=std, seed=strategy.noise_seed, names=("central noise", round))
    return mean


def server_step(strategy: StrategyConfig, *, weights: Arrays, change: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    """New weights (float32) and the server's memory after one round (float64; empty for "replace").

    adam, yogi (Reddi et al., ICLR 2021, algorithm 2): m ← β₁ m + (1 - β₁) Δ; v ← β₂ v + (1 - β₂) Δ², for yogi
    v - (1 - β₂) Δ² sign(v - Δ²); θ ← θ + η m / (√v + τ). m starts at 0, v at τ², the least that the paper allows.

    Flower's FedYogi takes the same step, but for v that starts at 0. Flower's FedAdam multiplies η by Adam's correction for
    starting at 0, √(1 - β₂^(t+1)) / (1 - β₁^(t+1)) in round t, which algorithm 2 does not have: with the defaults its step
    is 0.74 of the one here in round 1, 0.47 in round 10 and 0.54 in round 30. The paper is followed, and not Flower: the
    strategy is cited by it, and a factor of the round's number would differ in a run that goes on from kept rounds.
    """
    if strategy.server_step == "replace":
        return {name: (weights[name].astype(np.float64) + change[name]).astype(np.float32) for name in weights}, {}
    new: Arrays = {}
    memory: Arrays = {}
    for name, delta in change.items():
        first = state.get(f"m.{name}", np.zeros_like(delta))
        second = state.get(f"v.{name}", np.full_like(delta, strategy.adaptivity**2))
        first = strategy.beta1 * first + (1 - strategy.beta1) * delta
        square = delta**2
        if strategy.server_step == "adam":
            second = strategy.beta2 * second + (1 - strategy.beta2) * square
        else:
            second = second - (1 - strategy.beta2) * square * np.sign(second - square)
        step = strategy.server_rate * first / (np.sqrt(second) + strategy.adaptivity)
        new[name] = (weights[name].astype(np.float64) + step).astype(np.float32)
        memory |= {f"m.{name}": first, f"v.{name}": second}
    return new, memory
