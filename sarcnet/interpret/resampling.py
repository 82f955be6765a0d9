"""Intervals and P values from resampled patients, the same for effects on tiles, knobs of the simulation and reviews."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Percentile interval and two-sided P of a difference from zero; NaN where there are too few patients."""

    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")


def interval_of(draws: np.ndarray, *, level: float) -> Interval:
    """Percentile interval of resampled values (B,); P is how often they lie on the other side of zero, two-sided."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    p = min(1.0, 2 * (min((draws <= 0).sum(), (draws >= 0).sum()) + 1) / (len(draws) + 1))
    return Interval(float(low), float(high), float(p))


def mean_interval(values: np.ndarray, *, samples: int, level: float, rng: np.random.Generator) -> Interval:
    """Interval of the mean over patients (n,), who are resampled; NaN, and nothing drawn, for fewer than two."""
    if len(values) < 2:
        return Interval()
    return interval_of(values[rng.integers(len(values), size=(samples, len(values)))].mean(axis=1), level=level)
