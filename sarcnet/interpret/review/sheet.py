"""The sheet that a pathologist fills in: one HTML file that needs no network, and an empty table of the same answers."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

from PIL import Image

from sarcnet.compendium.files import atomic_path
from sarcnet.interpret.review.design import CANNOT_JUDGE, QUESTIONS, Item, Review
from sarcnet.interpret.review.page import PAGE

ANSWER_COLUMNS = ("sheet_id", "reader", "item_id", *QUESTIONS, "comment")
BAR_UM = 25.0
JPEG_QUALITY = 92


def write_review(review: Review, *, for_readers: Path, key: Path, note: str) -> list[Path]:
    """Write `for_readers`/sheet.html and answers.csv, and the key elsewhere, so that the folder can be handed on as it is.

    Args:
        review: see :func:`sarcnet.interpret.review.design.make_review`.
        for_readers: folder; nothing in it tells score, patient, slide or hospital. The stain of a picture may still
            betray the hospital to who knows it.
        key: path of the CSV that says what each code is.
        note: a line on top of the sheet, for example "Simulated data".

    Returns:
        The three paths.
    """
    sheet, table = for_readers / "sheet.html", for_readers / "answers.csv"
    with atomic_path(sheet) as temporary:
        temporary.write_text(page(review, note=note), encoding="utf-8")
    with atomic_path(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ANSWER_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({"sheet_id": review.sheet_id, "item_id": item.item_id} for item in review.items)
    with atomic_path(key) as temporary:
        review.key.to_csv(temporary, index=False)
    return [sheet, table, key]


def page(review: Review, *, note: str) -> str:
    """The sheet as HTML: the codes, the pictures as JPEG without metadata, the questions, and nothing more."""
    data = {
        "sheet": review.sheet_id,
        "note": note,
        "columns": ANSWER_COLUMNS,
        "cannotJudge": CANNOT_JUDGE,
        "questions": [{"name": name, "title": title, "words": words} for name, (title, words) in QUESTIONS.items()],
        "items": [{"id": item.item_id, "src": data_url(item)} for item in review.items],
        "tileUm": review.tile_um,
        "barUm": BAR_UM,
    }
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # no text may end the script
    return PAGE.replace("/*DATA*/", text)


def data_url(item: Item) -> str:
    """The picture as data:image/jpeg;base64,…"""
    buffer = io.BytesIO()
    Image.fromarray(item.pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
