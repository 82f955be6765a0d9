"""The rule that names hospitals sees a difference when there is one, and none when there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.features.site_effect.share import centre_share, classify_site

SLIDES, TILES, D = 60, 5, 40


def tiles_of(*, gap: float, centres: tuple[str, ...] = ("CLB", "IB"), seed: int = 0):
    rng = np.random.default_rng(seed)
    slide = np.repeat(np.arange(SLIDES), TILES)
    centre = np.array(centres)[slide % len(centres)]
    features = rng.normal(size=(SLIDES, D))[slide] + rng.normal(size=(len(slide), D))
    for k, name in enumerate(centres):
        features[centre == name, k] += gap
    table = pd.DataFrame({"slide_id": slide.astype(str), "patient_id": (slide // 2).astype(str), "centre": centre})
    return features, table


def right(told: pd.DataFrame) -> float:
    return float((told["said"] == told["centre"]).mean())


@pytest.mark.parametrize("centres", [("CLB", "IB"), ("A", "B", "C")])
def test_a_clear_difference_is_told(centres):
    features, table = tiles_of(gap=6.0, centres=centres)
    told = classify_site(features, table, rng=np.random.default_rng(1))
    assert len(told) == SLIDES
    assert right(told) > 0.95
    assert ((told["margin"] > 0) == (told["said"] == told["centre"])).all()


def test_no_difference_is_guessed_at():
    hits = []
    for seed in range(10):
        features, table = tiles_of(gap=0.0, seed=seed)
        hits.append(right(classify_site(features, table, rng=np.random.default_rng(seed))))
    assert abs(np.mean(hits) - 0.5) < 0.08  # 600 slides: four standard errors; and no patient gives itself away


def test_one_centre_has_nothing_to_tell():
    features, table = tiles_of(gap=0.0, centres=("IB",))
    assert classify_site(features, table, rng=np.random.default_rng(0)).empty


def test_share_of_variance_between_centres():
    centres = np.array(["A", "A", "B", "B"])
    assert centre_share(np.array([[0.0], [0.0], [1.0], [1.0]]), centres) == 1.0
    assert centre_share(np.array([[0.0], [1.0], [0.0], [1.0]]), centres) == 0.0
    assert centre_share(np.array([[0.0], [2.0], [2.0], [4.0]]), centres) == pytest.approx(0.5)
