"""How much privacy Gaussian noise buys: from noise multiplier and number of releases to (ε, δ).

One release adds noise of standard deviation z · Δ to a sum in which a unit (a patient, or a hospital) changes the
result by at most Δ in L2 norm. Its Rényi divergence of order α is α / (2 z²) (Mironov, IEEE CSF 2017, proposition 7);
over T releases divergences add up, whatever the later ones look at, and become

    ε(δ) = min over α of  T α / (2 z²) + log((α - 1) / α) - (log δ + log α) / (α - 1)

(Canonne, Kamath and Steinke, NeurIPS 2020, proposition 12). No release here draws a sample of the units, so nothing is
gained by subsampling. The exact curve of the same noise (Balle and Wang, ICML 2018, theorem 8) is kept beside it as the
lower mark that the accountant must not undercut.
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


def exact_epsilon(*, noise_multiplier: float, releases: int, delta: float) -> float:
    """The smallest ε of T Gaussian releases: δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ) with μ = √T / z, solved for ε."""
    from scipy.optimize import brentq  # a node loads this module for every message, and SciPy takes it 2 s
    from scipy.stats import norm

    check(noise_multiplier=noise_multiplier, releases=releases, delta=delta)
    mu = math.sqrt(releases) / noise_multiplier

    def excess(epsilon: float) -> float:
        tail = math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
        return float(norm.cdf(mu / 2 - epsilon / mu)) - tail - delta

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1, xtol=1e-10))


def spent(*, noise_multiplier: float, releases: int, delta: float, unit: str) -> Spent:
    """What so many releases cost, with the unit named ("patient" or "hospital")."""
    epsilon = rdp_epsilon(noise_multiplier=noise_multiplier, releases=releases, delta=delta)
    return Spent(epsilon, delta, unit, noise_multiplier, releases)


def noise_for(*, epsilon: float, releases: int, delta: float) -> float:
    """The noise multiplier at which so many releases cost this ε by `rdp_epsilon`."""
    from scipy.optimize import brentq

    def over(log_z: float) -> float:
        return rdp_epsilon(noise_multiplier=math.exp(log_z), releases=releases, delta=delta) - epsilon

    return math.exp(float(brentq(over, math.log(1e-2), math.log(1e5), xtol=1e-10)))
