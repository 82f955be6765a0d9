"""The wall of slides shows every histotype before a second one of any, and what is spoilt last."""

from __future__ import annotations

import pandas as pd

from sarcnet.cohort.read import Cohort

PATIENTS = pd.DataFrame(
    {
        "patient_id": ["A", "B", "C", "D", "E"],
        "series": ["training", "training", "training", "training", "validation"],
        "histotype": ["UPS", "UPS", "MPNST", "UPS", "leiomyosarcoma"],
        "fnclcc_grade": [3, 3, 2, 2, 1],
    }
)
SLIDES = pd.DataFrame({"slide_id": [f"{p}-S1" for p in "ABCDE"], "patient_id": list("ABCDE"), "centre": "CLB"})
COHORT = Cohort("public", PATIENTS, SLIDES)


def test_histotypes_first_and_training_only():
    assert COHORT.example_slides(per_centre=2)["slide_id"].tolist() == ["A-S1", "C-S1"]
    assert "E-S1" not in set(COHORT.example_slides(per_centre=9)["slide_id"])


def test_slides_with_artefacts_wait_for_their_histotype():
    chosen = COHORT.example_slides(per_centre=2, last=["A-S1"])
    assert chosen["slide_id"].tolist() == ["B-S1", "C-S1"]
    every = COHORT.example_slides(per_centre=9, last=["A-S1", "C-S1"])
    assert every["slide_id"].tolist() == ["B-S1", "C-S1", "D-S1", "A-S1"]  # the only MPNST is shown, spoilt or not
    assert "last" not in every
