r"""Cox's proportional hazards model with a ridge penalty that cross-validation chooses.

The weights maximise :math:`\ell(\beta) / n - \lambda \lVert\beta\rVert^2 / 2`, with :math:`\ell` the log partial
likelihood (ties after Breslow) and the columns standardised: the scale of lifelines' `penalizer`. The penalty is the one
with the largest cross-validated partial likelihood :math:`\sum_k \ell(\beta_{-k}) - \ell_{-k}(\beta_{-k})` (Verweij and
van Houwelingen, Statistics in Medicine 1993;12:2305-14). One choice takes thirty fits: for 611 patients and nine columns
about 1.4 s with lifelines and 0.02 s here, and an evaluation makes several hundred choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
FOLDS = 5
STEPS_MAX, TOLERANCE = 50, 1e-8


@dataclass(frozen=True)
class Cox:
    """A fitted model: weights (p,), the penalty, and Breslow's increments (K,) of the baseline hazard at `times` (K,)."""

    weights: np.ndarray
    penalty: float
    times: np.ndarray
    increments: np.ndarray

    def cumulative_hazard(self, x: np.ndarray, *, times: np.ndarray) -> np.ndarray:
        """(T, n) cumulative hazard of patients with columns x (n, p) by each of `times` (T,)."""
        passed = np.searchsorted(self.times, times, side="right")
        baseline = np.concatenate([[0.0], np.cumsum(self.increments)])[passed]
        return baseline[:, None] * np.exp(x @ self.weights)[None, :]


def fit(x: np.ndarray, *, months: np.ndarray, event: np.ndarray, generator: np.random.Generator) -> Cox:
    """The model with the penalty that cross-validation within these patients chooses.

    Args:
        x: (n, p) standardised columns; with p = 0 the hazard is Nelson and Aalen's.
        months: (n,) time of the event or of censoring.
        event: (n,) bool.
        generator: deals the patients into the inner folds.

    Returns:
        The fitted model.
    """
    penalty = chosen_penalty(x, months=months, event=event, generator=generator) if x.shape[1] else PENALTIES[0]
    data = _Sorted(x, months, event)
    weights = data.maximised(penalty, start=np.zeros(x.shape[1]))
    times, place = np.unique(data.months[data.event], return_inverse=True)
    increments = np.bincount(place, weights=1 / data.at_risk(weights)[data.event], minlength=len(times))
    return Cox(weights, penalty, times, increments)


def chosen_penalty(x: np.ndarray, *, months: np.ndarray, event: np.ndarray, generator: np.random.Generator) -> float:
    """The penalty out of PENALTIES with the largest cross-validated partial likelihood; the strongest below two events."""
    if event.sum() < 2:
        return max(PENALTIES)
    count = min(FOLDS, int(event.sum()))
    fold = np.empty(len(x), int)
    order = np.concatenate([generator.permutation(np.flatnonzero(event == kind)) for kind in (True, False)])
    fold[order] = np.arange(len(x)) % count
    everyone = _Sorted(x, months, event)
    gained = np.zeros(len(PENALTIES))
    for number in range(count):
        rest = fold != number
        data, weights = _Sorted(x[rest], months[rest], event[rest]), np.zeros(x.shape[1])
        for place, penalty in enumerate(PENALTIES):
            weights = data.maximised(penalty, start=weights)
            gained[place] += everyone.log_likelihood(weights) - data.log_likelihood(weights)
    return PENALTIES[int(np.argmax(gained))]


class _Sorted:
    """Patients by falling time, so that those at risk when a patient's follow-up ends stand before or beside the patient."""

    def __init__(self, x: np.ndarray, months: np.ndarray, event: np.ndarray) -> None:
        order = np.argsort(-months, kind="stable")
        self.x, self.months, self.event = x[order], months[order], event[order].astype(bool)
        self.last = np.searchsorted(-self.months, -self.months, side="right") - 1  # of each group of equal times

    def at_risk(self, weights: np.ndarray) -> np.ndarray:
        """(n,) sum of the relative hazards of those at risk when each patient's follow-up ends."""
        return np.cumsum(np.exp(self.x @ weights))[self.last]

    def log_likelihood(self, weights: np.ndarray) -> float:
        """Log partial likelihood."""
        return float((self.x @ weights - np.log(self.at_risk(weights)))[self.event].sum())

    def maximised(self, penalty: float, *, start: np.ndarray) -> np.ndarray:
        """(p,) weights by Newton's method; a step that does not help is halved."""
        n, weights = len(self.x), start

        def objective(at: np.ndarray) -> float:
            with np.errstate(over="ignore", invalid="ignore"):
                return self.log_likelihood(at) / n - penalty * float(at @ at) / 2

        value = objective(weights)
        for _ in range(STEPS_MAX if len(weights) else 0):
            relative = np.exp(self.x @ weights)
            last = self.last[self.event]
            sums = np.cumsum(relative)[last]  # (events,)
            means = np.cumsum(self.x * relative[:, None], axis=0)[last] / sums[:, None]  # (events, p)
            passed = np.bincount(last, weights=1 / sums, minlength=n)[::-1].cumsum()[::-1]  # baseline hazard so far
            gradient = (self.x[self.event] - means).sum(axis=0) / n - penalty * weights
            spread = (self.x * (relative * passed)[:, None]).T @ self.x - means.T @ means
            step = np.linalg.solve(spread / n + penalty * np.eye(len(weights)), gradient)
            while not objective(weights + step) >= value and np.abs(step).max() > TOLERANCE:
                step = step / 2
            weights, before = weights + step, value
            value = objective(weights)
            if np.abs(step).max() < TOLERANCE or value - before < TOLERANCE * 1e-4:
                break
        return weights
