"""How much privacy Gaussian noise buys: from noise multiplier and number of releases to (ε, δ).

One release adds noise of standard deviation z · Δ to a sum in which a unit (a patient, or a hospital) changes the
result by at most Δ in L2 norm. Its Rényi divergence of order α is α / (2 z²) (Mironov, IEEE CSF 2017, proposition 7);
over T releases divergences add up, whatever the later ones look at, and become

    ε(δ) = min over α of  T α / (2 z²) + log((α - 1) / α) - (log δ + log α) / (α - 1)

(Canonne, Kamath and Steinke, NeurIPS 2020, proposition 12). No release here draws a sample of the units, so nothing is
gained by subsampling. Tests hold it against the exact curve of the same noise (Balle and Wang, ICML 2018, theorem 8), which
it must not undercut, and against values of Google's dp-accounting. That library is not used instead: for the one formula
above it would bring four packages more, compiled ones among them, and an attrs of 2023 to every hospital, and seconds to the
start of every process there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sarcnet.compendium.errors import ErrorCollector

#: Rényi orders that are tried; dense where the minimum lies for ε between 0.01 and 1000.
ORDERS = 1 + np.logspace(-3, 6, 4000)


@dataclass(frozen=True)
class Spent:
    """(ε, δ) with the unit it protects and what was counted. ε without its δ, unit and releases means nothing."""

    epsilon: float
    delta: float
    unit: str
    noise_multiplier: float
    releases: int


def check(*, noise_multiplier: float, releases: int, delta: float) -> None:
    """Raise SarcnetError with each reason why no ε can be given."""
    faults = ErrorCollector()
    if not noise_multiplier > 0:
        faults.add(f"noise_multiplier is {noise_multiplier}: without noise there is no ε; give a number above 0.")
    if releases < 1:
        faults.add(f"releases is {releases}: give a whole number from 1.")
    if not 0 < delta < 1:
        faults.add(f"delta is {delta}: give a number between 0 and 1, below one over the number of units.")
    faults.raise_if_any("Privacy cannot be accounted for")


def rdp_epsilon(*, noise_multiplier: float, releases: int, delta: float) -> float:
    """ε by Rényi differential privacy; see the module for formula and source."""
    check(noise_multiplier=noise_multiplier, releases=releases, delta=delta)
    a = ORDERS
    epsilon = releases * a / (2 * noise_multiplier**2) + np.log((a - 1) / a) - (math.log(delta) + np.log(a)) / (a - 1)
    return float(max(epsilon.min(), 0.0))


def spent(*, noise_multiplier: float, releases: int, delta: float, unit: str) -> Spent:
    """What so many releases of a sum with Gaussian noise cost (Mironov, IEEE CSF 2017; Canonne et al., NeurIPS 2020).

    Args:
        noise_multiplier: z, standard deviation of the noise in units of what one unit can add to the sum.
        releases: T, how often such a sum is released.
        delta: δ, below one over the number of units.
        unit: what is protected, "patient" or "hospital".

    Returns:
        ε with all that it rests on.

    Raises:
        SarcnetError: no noise, no release, or a δ that is not between 0 and 1.
    """
    epsilon = rdp_epsilon(noise_multiplier=noise_multiplier, releases=releases, delta=delta)
    return Spent(epsilon, delta, unit, noise_multiplier, releases)
