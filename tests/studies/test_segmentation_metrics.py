"""Agreement of outlines, held to hand-drawn pictures and to the definition written as two loops."""

from __future__ import annotations

import numpy as np
import pytest

from studies.morphometry_validation.segmentation_metrics import centres_um, detection, outlines, paired_centres

KNOWN = np.array(
    [
        [1, 1, 0, 0, 2, 2],
        [1, 1, 0, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [3, 3, 3, 0, 0, 4],
        [3, 3, 3, 0, 0, 4],
    ]
)
FOUND = np.array(
    [
        [5, 5, 5, 0, 0, 0],
        [5, 5, 5, 0, 0, 7],
        [0, 0, 0, 0, 0, 0],
        [6, 6, 6, 0, 8, 4],
        [6, 6, 6, 0, 8, 8],
    ]
)


def by_definition(known: np.ndarray, found: np.ndarray) -> tuple[int, float]:
    """Pairs above one half and panoptic quality, as Kirillov et al. write it."""
    shared, names = [], [[k for k in np.unique(labels) if k] for labels in (known, found)]
    for one in names[0]:
        for other in names[1]:
            both, either = ((known == one) & (found == other)).sum(), ((known == one) | (found == other)).sum()
            if both / either > 0.5:
                shared.append(both / either)
    lonely = len(names[0]) + len(names[1]) - 2 * len(shared)
    return len(shared), sum(shared) / (len(shared) + lonely / 2)


def test_hand_drawn_outlines():
    # 1~5: 4 of 6 pixels; 3~6: whole; 2~7: 1 of 4; 4 against 4 and 8: 1 of 2 and 1 of 4
    found = outlines(KNOWN, FOUND)
    assert (found.known, found.found, found.matched) == (4, 5, 2)
    assert found.iou == pytest.approx((4 / 6 + 1) / 2)
    assert found.f1 == pytest.approx(4 / 9)
    assert found.panoptic_quality == pytest.approx(4 / 9 * 5 / 6)


def test_outlines_follow_the_definition():
    generator = np.random.default_rng(0)
    for _ in range(20):
        known = np.kron(generator.integers(0, 6, (6, 6)), np.ones((3, 3), int))
        found = np.where(generator.random(known.shape) < 0.8, known, generator.integers(0, 6, known.shape))
        matched, quality = by_definition(known, found)
        ours = outlines(known, found)
        assert ours.matched == matched
        assert ours.panoptic_quality == pytest.approx(quality)


def test_nothing_known_and_nothing_found():
    empty = np.zeros((4, 4), int)
    assert np.isnan(outlines(empty, empty).panoptic_quality)
    assert outlines(KNOWN, np.zeros_like(KNOWN)).panoptic_quality == 0
    assert detection(np.zeros((0, 2)), np.zeros((3, 2))).f1 == 0
    assert len(centres_um(empty, mpp=0.5)) == 0


def test_each_nucleus_is_found_at_most_once():
    known, found = np.array([[0.0, 0.0], [10, 0], [30, 0]]), np.array([[0.5, 0.0], [1.0, 0], [13.9, 0], [34.1, 0]])
    assert paired_centres(known, found).tolist() == [[0, 0], [1, 2]]
    counted = detection(known, found)
    assert (counted.recall, counted.precision) == (pytest.approx(2 / 3), pytest.approx(1 / 2))


def test_centres_and_areas_in_micrometres():
    labels = np.zeros((6, 8), int)
    labels[1:3, 2:6] = 4
    assert centres_um(labels, mpp=0.5).tolist() == [[2.0, 1.0, 2.0]]
