"""The simulated cohort in notebook 00: generating it, and putting its truth on record for the evaluation only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sarcnet.cohort.read import Cohort
from sarcnet.cohort.settings import CohortSettings
from sarcnet.compendium.progress import track
from sarcnet.compendium.stage import Stage
from virtual_cohort.cohort import generate, slide_orders
from virtual_cohort.cohort_folder import TRUTH, artefacts_path, regions_path, truth_path
from virtual_cohort.simulated import simulate_cohort

READERS = ("05_evaluation", "06_interpretability")


def generate_cohort(folder: Path, *, settings: CohortSettings) -> int:
    """Simulate patients and render their slides, unless they are there already.

    Args:
        folder: the cohort's folder, new or one that was generated here before.
        settings: hospitals, numbers of patients, size of the slides (µm), shares and seed.

    Returns:
        The number of slides.

    Raises:
        SarcnetError: impossible settings, or the folder holds anything that was not generated here.
    """
    counts = settings.counts()
    shape: dict[str, Any] = {
        "width_um": settings.slide_width_um,
        "height_um": settings.slide_height_um,
        "several_slides_share": settings.several_slides_share,
        "tiff_centres": settings.tiff_centres,
    }
    total = len(slide_orders(simulate_cohort(settings.seed, counts=counts), seed=settings.seed, **shape))
    slides = generate(
        folder,
        seed=settings.seed,
        counts=counts,
        jobs=settings.jobs,
        artefact_share=settings.artefact_share,
        control=settings.cohort_control,
        **shape,
    )
    return sum(1 for _ in track(slides, total=total, what="slides"))


def slides_with_artefacts(folder: Path) -> pd.DataFrame:
    """Slides that were rendered with an artefact: one row per slide, empty where the cohort is not simulated.

    Args:
        folder: the cohort's folder.

    Returns:
        Columns slide_id, kind and the artefact's place and size (µm).
    """
    path = artefacts_path(folder)
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame({"slide_id": [], "kind": []}, dtype=str)


def register_truth(stage: Stage[CohortSettings], *, cohort: Cohort, folder: Path) -> pd.DataFrame:
    """Put the simulated truth on record, for the evaluation and the interpretation only.

    Args:
        stage: notebook 00's.
        cohort: the patients and slides.
        folder: the cohort's folder.

    Returns:
        The patients' truth, with the true risk of this outcome.
    """
    table = cohort.endpoint.truth(pd.read_parquet(folder / TRUTH / "patients.parquet"))
    stage.write_table("truth/patients.parquet", table, readers=READERS)
    stage.output("truth/artefacts.parquet", path=artefacts_path(folder), readers=READERS)
    for slide_id in cohort.slides["slide_id"]:
        for path in (truth_path(folder, slide_id=slide_id), regions_path(folder, slide_id=slide_id)):
            stage.output(f"truth/slides/{path.name}", path=path, readers=READERS)
    stage.write_json("control.json", {"control": stage.settings.cohort_control}, readers=READERS)
    return table
