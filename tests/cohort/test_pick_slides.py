"""The wall of slides shows every histotype before a second one of any, and what is spoilt last."""

from __future__ import annotations

import pandas as pd

from sarcnet.cohort.figures import pick_slides

PATIENTS = pd.DataFrame(
    {
        "patient_id": ["A", "B", "C", "D", "E"],
        "series": ["training", "training", "training", "training", "validation"],
        "histotype": ["UPS", "UPS", "MPNST", "UPS", "leiomyosarcoma"],
        "fnclcc_grade": [3, 3, 2, 2, 1],
    }
)
SLIDES = pd.DataFrame({"slide_id": [f"{p}-S1" for p in "ABCDE"], "patient_id": list("ABCDE"), "centre": "CLB"})


def test_histotypes_first_and_training_only():
    assert pick_slides(SLIDES, PATIENTS, per_centre=2)["slide_id"].tolist() == ["A-S1", "C-S1"]
    assert "E-S1" not in set(pick_slides(SLIDES, PATIENTS, per_centre=9)["slide_id"])


def test_spoilt_slides_wait_for_their_histotype():
    chosen = pick_slides(SLIDES, PATIENTS, per_centre=2, spoilt=["A-S1"])
    assert chosen["slide_id"].tolist() == ["B-S1", "C-S1"]
    every = pick_slides(SLIDES, PATIENTS, per_centre=9, spoilt=["A-S1", "C-S1"])
    assert every["slide_id"].tolist() == ["B-S1", "C-S1", "D-S1", "A-S1"]  # the only MPNST is shown, spoilt or not
    assert "spoilt" not in every
