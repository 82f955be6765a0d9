"""Slides that could not be used: listed for the person who can mend them, counted by hospital, told to the runner.

A hospital may know that a slide will fail: blank glass, a block that was lost. It names such slides in its folder, in
known_failures.csv with the columns slide_id and why. They are tried and reported like any other; only the run's exit
code does not count them. The virtual cohort names the slides that it leaves blank in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sarcnet.cohort.schema import KNOWN_FAILURES, KNOWN_FAILURES_COLUMNS
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import shown
from sarcnet.compendium.stage import Stage
from sarcnet.slides.cohort_tiling import home_of, slide_files

FAILED = "failed_slides.csv"
COLUMNS = ["centre", "slide_id", "patient_id", "cause", "advice", "known"]


def known_failures(stage: Stage, slides: pd.DataFrame, *, files: Mapping[str, Path]) -> dict[str, str]:
    """slide_id -> why, of the slides that their hospitals expect to fail; the tables count as sources of the stage.

    Args:
        stage: reads the tables.
        slides: rows with slide_id, centre and file.
        files: slide files by slide_id, or as notebook 00 vouches for them ("slides/<centre>/<slide_id>").

    Returns:
        slide_id -> why.

    Raises:
        SarcnetError: a table has other columns, or names a slide that its hospital does not have; all faults at once.
    """
    faults = ErrorCollector()
    known: dict[str, str] = {}
    paths = slide_files(slides, recorded=files)
    for centre, rows in slides.groupby("centre"):
        home = home_of(paths[rows["slide_id"].iloc[0]], str(centre))
        if home is not None and (home / KNOWN_FAILURES).is_file():
            known |= _read(stage.source(home / KNOWN_FAILURES), slide_ids=set(rows["slide_id"]), faults=faults)
    faults.raise_if_any("The slides that are known to fail cannot be read")
    return known


def _read(path: Path, *, slide_ids: set[str], faults: ErrorCollector) -> dict[str, str]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        faults.add(f"{shown(path)} is not a comma-separated table in UTF-8 ({str(error).splitlines()[0]}).")
        return {}
    if tuple(table.columns) != KNOWN_FAILURES_COLUMNS:
        faults.add(
            f"{shown(path)} has the columns {', '.join(table.columns)}; they must be {', '.join(KNOWN_FAILURES_COLUMNS)}."
        )
        return {}
    for slide_id in sorted(set(table["slide_id"]) - slide_ids):
        faults.add(f"{shown(path)} names '{slide_id}', which is not in the hospital's slides.csv; correct it.")
    return dict(zip(table["slide_id"], table["why"], strict=True))


def failed_table(report: pd.DataFrame, *, known: Mapping[str, str]) -> pd.DataFrame:
    """The slides that could not be used.

    Args:
        report: all slides, with status, cause and advice.
        known: slide_id -> why its failure was expected.

    Returns:
        Rows whose status is "failed", in the columns COLUMNS; `known` is "" where nobody expected it.
    """
    failed = report[report["status"] == "failed"]
    return failed.assign(known=failed["slide_id"].map(known).fillna("").astype(str))[COLUMNS].reset_index(drop=True)


def record_failures(stage: Stage, failed: pd.DataFrame, *, report: pd.DataFrame) -> None:
    """Write failed_slides.csv, and put on record how many slides of which hospital could not be used.

    Args:
        stage: whose slides failed.
        failed: as :func:`failed_table` gives them.
        report: all slides, with their centre.
    """
    path = stage.output(FAILED)
    with atomic_path(path) as part:
        failed.to_csv(part, index=False, encoding="utf-8-sig")  # so that Excel, too, reads µ as µ
    stage.number("slides_failed", len(failed), n=len(report), unit="slides")
    expected = failed["known"] != ""
    stage.left_out(
        "slides",
        of=report["centre"].value_counts().sort_index().to_dict(),
        unusable=failed["centre"].value_counts().sort_index().to_dict(),
        known=failed.loc[expected, "centre"].value_counts().sort_index().to_dict(),
        report=path,
        advice=f"Mend them, or name those that you can do without in the hospital's {KNOWN_FAILURES} (columns slide_id, why).",
    )
