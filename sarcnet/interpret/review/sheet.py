"""The sheet that a pathologist fills in: one HTML file that needs no network, and an empty table of the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.compendium.files import atomic_path
from sarcnet.interpret.attribution.tiles import see_tiles
from sarcnet.interpret.export.pages import jpeg_url, json_block, render, write_page
from sarcnet.interpret.review.design import CANNOT_JUDGE, QUESTIONS, Review, choose_tiles, make_review
from sarcnet.morphometry.geometry import TileGeometry

ANSWER_COLUMNS = ("sheet_id", "reader", "item_id", *QUESTIONS, "comment")
BAR_UM = 25.0
JPEG_QUALITY = 92


def write_review(
    tiles: pd.DataFrame,
    *,
    count: int,
    repeats: int,
    checks: int,
    per_patient_max: int,
    files: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    folder: Path,
    note: str,
    rng: np.random.Generator,
) -> Review:
    """Choose tiles, code and shuffle them, and write the blinded sheet: `folder`/for_pathologists, which is handed on, and
    `folder`/key.csv, which is not.

    Args:
        tiles: `Explanation.tiles`.
        count: tiles, a third each of high, of low and of intermediate contribution; fewer where there are not enough.
        repeats: tiles that come twice, the second time mirrored or turned.
        checks: pictures that show whether a pathologist looks.
        per_patient_max: tiles of one patient.
        files: slides by slide_id.
        geometry: where the tiles lie, by slide_id.
        folder: gets the files.
        note: a line on top of the sheet, for example "Simulated data".
        rng: decides which tiles, their codes and their order.

    Returns:
        The review, with the `paths` of sheet.html, answers.csv and key.csv.

    Raises:
        SarcnetError: naming every tile that cannot be read, or too many repeats.
        SlideFault: a slide cannot be opened.
    """
    chosen = choose_tiles(tiles, count=count, per_patient_max=per_patient_max, rng=rng)
    review = make_review(see_tiles(chosen, files=files, geometry=geometry), repeats=repeats, checks=checks, rng=rng)
    return write_sheet(review, folder=folder, note=note)


def write_sheet(review: Review, *, folder: Path, note: str) -> Review:
    """Write `folder`/for_pathologists/sheet.html and answers.csv, and `folder`/key.csv; the review with their `paths`.

    Nothing in for_pathologists tells score, patient, slide or hospital, so it can be handed on as it is. The stain of a
    picture may still betray the hospital to those who know it.
    """
    handed_on, key = folder / "for_pathologists", folder / "key.csv"
    sheet = write_page(handed_on / "sheet.html", page(review, note=note))
    table = pd.DataFrame({"sheet_id": review.sheet_id, "item_id": [item.item_id for item in review.items]})
    with atomic_path(handed_on / "answers.csv") as temporary:
        table.reindex(columns=list(ANSWER_COLUMNS)).to_csv(temporary, index=False, lineterminator="\r\n")
    with atomic_path(key) as temporary:
        review.key.to_csv(temporary, index=False)
    return replace(review, paths=(sheet, handed_on / "answers.csv", key))


def page(review: Review, *, note: str) -> str:
    """The sheet as HTML: the codes, the pictures as JPEG without metadata, the questions, and nothing more."""
    data = {
        "sheet": review.sheet_id,
        "note": note,
        "columns": ANSWER_COLUMNS,
        "cannotJudge": CANNOT_JUDGE,
        "questions": [{"name": name, "title": title, "words": words} for name, (title, words) in QUESTIONS.items()],
        "items": [
            {"id": item.item_id, "src": jpeg_url(item.pixels, quality=JPEG_QUALITY, subsampling=0)}
            for item in review.items
        ],
        "tileUm": review.tile_um,
        "barUm": BAR_UM,
    }
    return render("sarcnet.interpret.review", "sheet.html", data=json_block(data))
