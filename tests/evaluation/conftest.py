"""Simulated follow-up shared by the tests of the evaluation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sarcnet.evaluation.metrics.auc import Followup

HORIZON = 60.0
Cohort = Callable[..., tuple[np.ndarray, Followup]]


def make_cohort(
    n: int, *, seed: int, competing: bool = True, rounded: bool = False, lost: bool = True, centres: int = 2
) -> tuple[np.ndarray, Followup]:
    """True 5-year risks (n,) of metastasis were there no other death, and the follow-up of n patients."""
    rng = np.random.default_rng(seed)
    centre = np.where(rng.random(n) < 0.4, "CLB", "IB") if centres == 2 else np.full(n, "one")
    rate = np.exp(rng.normal(size=n)) / 90
    metastasis = rng.exponential(1 / rate)
    death = rng.exponential(300, n) if competing else np.full(n, np.inf)
    leaving = rng.uniform(np.where(centre == "CLB", 10, 40), 150) if lost else np.full(n, 200.0)
    months = np.minimum(np.minimum(metastasis, death), leaving)
    event = np.select([months == metastasis, months == death], [1, 2], 0)
    if rounded:
        months = np.ceil(months / 6) * 6
    return 1 - np.exp(-rate * HORIZON), Followup(months, event, centre)


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return make_cohort
