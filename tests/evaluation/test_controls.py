"""Verdicts on control cohorts, on numbers made up both ways."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.evaluation.bootstrap import Resampled
from sarcnet.evaluation.controls import verdicts


def resampled(spread: float = 0.04, shift: int = 0, **aucs: float) -> Resampled:
    steps = np.roll(np.linspace(-1, 1, 201) * spread, shift)
    return Resampled(aucs, {name: value + np.roll(steps, 37 * k) for k, (name, value) in enumerate(aucs.items())}, 0.95)


@pytest.mark.parametrize(("image", "held"), [(0.51, "yes"), (0.44, "yes"), (0.60, "no")])
def test_an_image_without_signal_is_a_coin(image, held):
    found = verdicts("no_signal", crossed=resampled(image_only=image, sarcnet_pooled=0.8, clinical_only=0.8), held=None)
    assert found["held"].tolist() == [held, "yes"]


def test_an_image_without_signal_must_win_nothing():
    found = verdicts("no_signal", crossed=resampled(image_only=0.5, sarcnet_pooled=0.9, clinical_only=0.7), held=None)
    assert found["held"].tolist() == ["yes", "no"]


def test_shuffled_outcomes_are_predicted_by_the_oracle_only():
    found = verdicts("shuffled", crossed=resampled(sarcnet_pooled=0.52, image_only=0.7, oracle=0.9), held=None)
    assert found["held"].tolist() == ["yes", "no"]


@pytest.mark.parametrize(("later", "held"), [(0.6, "yes"), (0.88, "no")])
def test_confounding_flatters_cross_validation(later, held):
    found = verdicts("confounded", crossed=resampled(image_only=0.9), held=resampled(image_only=later, shift=70))
    assert found["held"].tolist() == [held]


def test_confounding_cannot_be_judged_without_later_patients():
    assert verdicts("confounded", crossed=resampled(image_only=0.9), held=None).empty
