"""Verdicts on control cohorts, on numbers made up so that each answer comes out: yes, no, and too few patients to say."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled
from virtual_cohort.experiments.negative_controls.checks import MARGIN, MARGIN_GAIN, absent, verdicts


def resampled(spread: float = 0.04, shift: int = 0, **aucs: float) -> Resampled:
    steps = np.roll(np.linspace(-1, 1, 201) * spread, shift)
    return Resampled(aucs, {name: value + np.roll(steps, 37 * k) for k, (name, value) in enumerate(aucs.items())}, 0.95)


def no_signal(spread: float, image: float, gain: float, n: int = 160) -> list[str]:
    g = np.random.default_rng(0)
    point = {"image_only": image, "sarcnet_pooled": 0.75 + gain, "clinical_only": 0.75}
    crossed = Resampled(point, {name: value + spread * g.standard_normal(2000) for name, value in point.items()}, 0.95)
    return [answer.split(":")[0] for answer in verdicts("no_signal", crossed=crossed, held=None, n=n)["held"]]


@pytest.mark.parametrize(
    ("spread", "image", "gain", "held"),
    [
        (0.005, 0.51, 0.00, ["yes", "yes"]),
        (0.005, 0.44, -0.05, ["yes", "yes"]),
        (0.005, 0.75, 0.10, ["no", "no"]),
        (0.03, 0.50, 0.00, ["yes", "cannot be said"]),
        (0.10, 0.50, 0.00, ["cannot be said", "cannot be said"]),
    ],
)
def test_nothing_is_shown_by_an_upper_bound_below_the_margin(spread, image, gain, held):
    assert no_signal(spread, image, gain) == held


def test_the_demo_with_its_signal_is_never_called_a_cohort_without():
    """Image alone 0.755 (0.667 to 0.827), gain +0.031 (-0.016 to +0.084), 160 patients: once answered yes."""
    alone, gain = Estimate(0.755, 0.667, 0.827), Estimate(0.031, -0.016, 0.084)
    assert absent(alone, nothing=0.5, margin=MARGIN, n=160) == "no"
    said = absent(gain, nothing=0.0, margin=MARGIN_GAIN, n=160)
    assert (
        said
        == "cannot be said: the interval holds both 0 and 0.03 (about 910 patients are needed for that, here are 160)"
    )


def test_the_number_needed_shows_nothing_in_four_studies_of_five():
    g = np.random.default_rng(1)
    n, half = 160, 0.05  # half the width of the interval at n patients
    needed = int(absent(Estimate(0.0, -half, half), nothing=0.0, margin=MARGIN_GAIN, n=n).split("about ")[1].split()[0])
    width = half * np.sqrt(n / needed)
    found = g.normal(0, width / 1.96, 4000)
    shown = [
        absent(Estimate(x, x - width, x + width), nothing=0.0, margin=MARGIN_GAIN, n=needed) == "yes" for x in found
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.03)


def test_without_an_interval_nothing_is_said():
    few = Estimate(0.5, float("nan"), float("nan"), note="3 cases, 2 controls: too few for an interval")
    assert absent(few, nothing=0.5, margin=0.1, n=5) == "cannot be said: 5 patients are too few for an interval"


def test_shuffled_outcomes_are_predicted_by_the_oracle_only():
    crossed = resampled(sarcnet_pooled=0.52, image_only=0.7, oracle=0.9)
    assert verdicts("shuffled", crossed=crossed, held=None, n=160)["held"].tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("later", "held"), [(0.6, "yes"), (0.88, "cannot be said: the interval of the loss holds 0"), (1.0, "no")]
)
def test_confounding_flatters_cross_validation(later, held):
    crossed, after = resampled(image_only=0.9), resampled(image_only=later, shift=70)
    assert verdicts("confounded", crossed=crossed, held=after, n=160)["held"].tolist() == [held]


def test_confounding_cannot_be_judged_without_later_patients():
    assert verdicts("confounded", crossed=resampled(image_only=0.9), held=None, n=160).empty
