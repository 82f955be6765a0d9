r"""Recalibration by sums: two numbers mend a model's risks, and no patient leaves a hospital for them.

The mended risk is

.. math:: \log(-\log(1 - p)) = a + b \log(-\log(1 - r))

of the predicted risk :math:`r`, the calibration line of :mod:`sarcnet.evaluation.metrics.calibration` read as a correction
(logistic recalibration on the scale of a hazard; Cox, Biometrika 1958;45:562–565; Steyerberg et al., Statistics in Medicine
2004;23:2567–2586). :math:`a, b` minimise :math:`\sum_i (o_i - p_i)^2` over the training patients' out-of-fold risks, where
:math:`o_i` is a patient's pseudo-value in the patient's own hospital. Gauss and Newton's steps need of a hospital only sums
over its patients: the loss, its gradient (two numbers) and its curvature (three), for each :math:`a, b` that the server
proposes. The result is that of all patients in one place. Nothing of the validation series takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sarcnet.cohort.incidence import pseudo_values
from sarcnet.cohort.outcome import not_followed
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.evaluation.metrics.calibration import EDGE
from sarcnet.evaluation.predictions import EvaluationSet

PATIENTS_LEAST = 10  # sums over fewer could say something about one of them
ROUNDS_MOST = 100
NUMBERS_A_ROUND = 7  # loss, gradient (2), curvature (3), patients


@dataclass(frozen=True)
class Correction:
    """Two numbers, 0 and 1 where nothing is to be mended."""

    intercept: float = 0.0
    slope: float = 1.0

    def __call__(self, risk: np.ndarray) -> np.ndarray:
        """Corrected risks, of the same shape."""
        return -np.expm1(-np.exp(np.clip(self.intercept + self.slope * _loglog(risk), -30, 5)))


@dataclass(frozen=True)
class Sums:
    """What a hospital answers to a proposed correction; answers add."""

    loss: float
    gradient: np.ndarray  # (2,)
    curvature: np.ndarray  # (2, 2), symmetric
    patients: int

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.curvature + other.curvature,
            self.patients + other.patients,
        )


Hospital = Callable[[Correction], Sums]


@dataclass(frozen=True)
class Recalibration:
    """The correction, the patients it was fitted on, and the rounds of messages that it took."""

    correction: Correction
    patients: int
    rounds: int

    @property
    def sentence(self) -> str:
        """What was fitted, on whom, and what it cost."""
        c = self.correction
        return (
            f"Fitted on the out-of-fold risks of {self.patients} training patients in {self.rounds} rounds of "
            f"{NUMBERS_A_ROUND} numbers from each hospital: intercept {c.intercept:+.2f}, slope {c.slope:.2f}."
        )


def _loglog(risk: np.ndarray) -> np.ndarray:
    return np.log(-np.log1p(-np.clip(risk, EDGE, 1 - EDGE)))


def sums(risk: np.ndarray, observed: np.ndarray, correction: Correction) -> Sums:
    """Loss, gradient and curvature over the patients of a hospital. risk, observed (pseudo-values): (n,)."""
    x = _loglog(risk)
    exponent = np.clip(correction.intercept + correction.slope * x, -30, 5)
    steep = np.exp(exponent - np.exp(exponent))  # of the corrected risk in the exponent
    jacobian = steep[:, None] * np.stack([np.ones_like(x), x], axis=1)
    gap = correction(risk) - observed
    return Sums(float(gap @ gap), jacobian.T @ gap, jacobian.T @ jacobian, len(risk))


def hospital_of(series: EvaluationSet, model: str, *, horizon_months: float) -> Hospital:
    """The program at a hospital: it holds its own patients and answers with sums.

    Args:
        series: the training patients of one hospital with their out-of-fold risks.
        model: name of the model whose risks are mended.
        horizon_months: time by which the risk is meant.

    Returns:
        The hospital's answer to a proposed correction: sums over its patients.

    Raises:
        SarcnetError: too few patients, or nobody was followed to the horizon.
    """
    followup, faults = series.followup, ErrorCollector()
    if len(series) < PATIENTS_LEAST:
        faults.add(f"{series.name} has {len(series)} patients; sums are sent over {PATIENTS_LEAST} or more.")
    for sentence in not_followed(followup, horizon_months=horizon_months):
        faults.add(sentence)
    faults.raise_if_any("The risks cannot be recalibrated")
    risk = series.with_risk(model)["risk"].to_numpy(float)
    observed = pseudo_values(followup, horizon_months=horizon_months, competing=True)
    return lambda correction: sums(risk, observed, correction)


def recalibrate(hospitals: Mapping[str, Hospital], *, tolerance: float = 1e-6) -> Recalibration:
    """The server: damped Gauss–Newton steps (Levenberg and Marquardt) on the hospitals' sums.

    Args:
        hospitals: name → what `hospital_of` made there.
        tolerance: longest last step of intercept and slope.

    Returns:
        The correction, the number of patients and of rounds of messages.

    Raises:
        SarcnetError: no hospital; the steps do not settle; the slope is not positive, so that the order of the patients
            would be reversed.
    """
    if not hospitals:
        raise SarcnetError("No hospital takes part in the recalibration.")

    def ask(correction: Correction) -> Sums:
        answers = [hospitals[name](correction) for name in sorted(hospitals)]
        total = answers[0]
        for answer in answers[1:]:
            total = total + answer
        return total

    at, damping = Correction(), 1e-3
    found = ask(at)
    for number in range(2, ROUNDS_MOST + 2):
        ridge = damping * np.diag(np.diag(found.curvature) + 1e-12)
        step = -np.linalg.solve(found.curvature + ridge, found.gradient)
        proposed = Correction(at.intercept + float(step[0]), at.slope + float(step[1]))
        answer = ask(proposed)
        if answer.loss <= found.loss:
            settled = float(np.abs(step).max()) < tolerance
            at, found, damping = proposed, answer, damping / 10
        else:
            settled, damping = damping > 1e12, damping * 10  # no step, however short, makes the loss smaller
        if settled:
            if at.slope <= 0:
                raise SarcnetError(
                    f"The fitted slope is {at.slope:.2f}: a correction that reverses the order of the patients is refused."
                )
            return Recalibration(at, found.patients, number)
    raise SarcnetError(f"The recalibration did not settle in {ROUNDS_MOST} rounds.")


def before_and_after(series: EvaluationSet, model: str, correction: Correction, *, name: str) -> EvaluationSet:
    """The series with the model's risks as they are and, under `name`, corrected.

    Args:
        series: patients with risks of the model.
        model: its name.
        correction: of `recalibrate`.
        name: of the corrected model.

    Returns:
        The same patients with the risks of both, the mean over repeats.
    """
    mean = series.risks[model].mean(axis=1, keepdims=True)
    return EvaluationSet(series.name, series.patients, {model: mean, name: correction(mean)})
