"""Filled review sheets come back: read, checked, and every answer that cannot be used named and counted.

People fill in tables: they leave cells empty, write "2-3" or "mild", save with semicolons, send a file twice. An answer is
0, 1, 2, 3 or NA ("cannot judge"); whatever else stands in a cell is no answer, and is reported. Nothing is guessed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.interpret.review.design import CANNOT_JUDGE, CATEGORIES, KEY_COLUMNS, QUESTIONS
from sarcnet.interpret.review.kappa import NO_ANSWER

NEEDED = ("reader", "item_id", *QUESTIONS)
ALLOWED = {str(category): category for category in range(CATEGORIES)}
TOLD_AT_MOST = 12
#: problem: what is done about it
PROBLEMS = {
    "unknown tile": "the row is left out",
    "another sheet": "the row is left out",
    "repeated row": "the same row twice counts once",
    "contradiction": "all rows of this tile by this reader are left out",
    "not an answer": "counts as missing",
    "missing": "no answer in this cell",
    "tile without a row": "counts as missing throughout",
}


@dataclass(frozen=True)
class Filled:
    """What the readers said.

    answers: one row for each reader, item of the key and question, in the key's order: reader, item_id, question, answer
        (0 to 3, NO_ANSWER), state ("answered", "cannot judge", "missing").
    comments: reader, item_id, comment.
    problems: file, row (as numbered by a spreadsheet, 0 where it concerns none), reader, item_id, problem (PROBLEMS),
        question, found.
    """

    answers: pd.DataFrame
    comments: pd.DataFrame
    problems: pd.DataFrame

    @property
    def readers(self) -> list[str]:
        """All readers, sorted."""
        return sorted(self.answers["reader"].unique())


def read_key(path: Path) -> pd.DataFrame:
    """The key as written by `write_review`.

    Raises:
        SarcnetError: it cannot be read, lacks a column, or names an item twice.
    """
    try:
        key = pd.read_csv(path, dtype=dict.fromkeys(("sheet_id", "item_id", "first_item_id", "expected"), str))
    except (OSError, ValueError) as error:
        raise SarcnetError(f"The key {path.name} cannot be read ({error}): name the key.csv of this review.") from None
    faults = ErrorCollector()
    lacking = [name for name in KEY_COLUMNS if name not in key]
    if lacking:
        faults.add(f"{path.name} lacks {', '.join(lacking)}: it must be the key that was written with the sheet.")
    elif key["item_id"].duplicated().any():
        twice = ", ".join(sorted(key.loc[key["item_id"].duplicated(), "item_id"]))
        faults.add(f"{path.name} names {twice} more than once: take the key as it was written.")
    faults.raise_if_any("The key cannot be used")
    text = ["first_item_id", "expected", "patient_id", "centre", "slide_id", "stratum"]
    return key.assign(**{name: key[name].fillna("").astype(str) for name in text})


def read_sheets(paths: Sequence[Path], *, key: pd.DataFrame) -> Filled:
    """Read one CSV or more, of one reader or several each; the columns are those of `review_sheet.ANSWER_COLUMNS`.

    Separators may be commas, semicolons or tabs; order of rows and further columns do not matter.

    Raises:
        SarcnetError: naming every file that cannot be read at all, lacks a column or names no reader, and readers who
            come in several files.
    """
    faults = ErrorCollector()
    came_in: dict[str, str] = {}
    rows = []
    for path in paths:
        try:
            own = _rows(path)
        except SarcnetError as error:
            faults.add(str(error))
            continue
        for reader in sorted({row["reader"] for row in own}):
            if reader in came_in:
                faults.add(f"Reader {reader} comes in {came_in[reader]} and in {path.name}: keep one of them.")
            came_in[reader] = path.name
        rows += own
    if not paths:
        faults.add("No filled sheet was named.")
    faults.raise_if_any("The review cannot be read")
    return _checked(rows, key=key)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SarcnetError(f"{path.name} cannot be read as UTF-8 text ({error}): save it as CSV UTF-8.") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    columns = [name.strip() for name in table.fieldnames or []]
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise SarcnetError(
            f"{path.name} lacks the columns {', '.join(lacking)}: keep the first line of the sheet's table."
        )
    table.fieldnames = columns
    found = []
    for number, row in enumerate(table, start=2):
        own = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        if any(own.values()):
            found.append(own | {"file": path.name, "row": str(number)})
    if not found:
        raise SarcnetError(f"{path.name} has no rows: send the table that the sheet's button downloads.")
    nameless = [row["row"] for row in found if not row["reader"]]
    if nameless:
        where = ", ".join(nameless[:TOLD_AT_MOST]) + (" …" if len(nameless) > TOLD_AT_MOST else "")
        raise SarcnetError(f"{path.name} names no reader in row {where}: write the reader's code into each row.")
    return found


def _checked(rows: list[dict[str, str]], *, key: pd.DataFrame) -> Filled:
    problems: list[dict[str, object]] = []

    def note(row: dict[str, str], problem: str, *, question: str = "", found: str = "") -> None:
        problems.append(
            {"file": row.get("file", ""), "row": int(row.get("row", 0)), "reader": row["reader"],
             "item_id": row["item_id"], "problem": problem, "question": question, "found": found}
        )  # fmt: skip

    known = dict(zip(key["item_id"], key["sheet_id"], strict=True))
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        item_id = row["item_id"]
        if item_id not in known:
            note(row, "unknown tile", found=item_id)
        elif row.get("sheet_id") and row["sheet_id"] != known[item_id]:
            note(row, "another sheet", found=row["sheet_id"])
        else:
            groups.setdefault((row["reader"], item_id), []).append(row)
    single: dict[tuple[str, str], dict[str, str]] = {}
    for place, same in groups.items():
        if len({tuple(row[name] for name in QUESTIONS) for row in same}) > 1:
            for row in same:
                note(row, "contradiction", found=" ".join(row[name] or "-" for name in QUESTIONS))
            continue
        for row in same[1:]:
            note(row, "repeated row")
        single[place] = same[0]
    answers, comments = [], []
    files = {row["reader"]: row["file"] for row in rows}
    for reader in sorted(files):
        for item_id in key["item_id"]:
            one = single.get((reader, item_id))
            if one is None and (reader, item_id) not in groups:
                note({"reader": reader, "item_id": item_id, "file": files[reader]}, "tile without a row")
            for question in QUESTIONS:
                answer, state = _answer(one[question] if one else "")
                if one and state == "missing":
                    problem = "not an answer" if one[question] else "missing"
                    note(one, problem, question=question, found=one[question])
                answers.append((reader, item_id, question, answer, state))
            if one and one.get("comment"):
                comments.append((reader, item_id, one["comment"]))
    columns = ["file", "row", "reader", "item_id", "problem", "question", "found"]
    return Filled(
        pd.DataFrame(answers, columns=["reader", "item_id", "question", "answer", "state"]),
        pd.DataFrame(comments, columns=["reader", "item_id", "comment"]),
        pd.DataFrame(problems, columns=columns),
    )


def _answer(text: str) -> tuple[int, str]:
    if text.upper() == CANNOT_JUDGE:
        return NO_ANSWER, "cannot judge"
    return (ALLOWED[text], "answered") if text in ALLOWED else (NO_ANSWER, "missing")


def told(filled: Filled) -> str:
    """What came back, and every kind of problem with its count, what is done, and the first few by name."""
    state = filled.answers["state"].value_counts()
    items = filled.answers["item_id"].nunique()
    lines = [
        f"{len(filled.readers)} readers ({', '.join(filled.readers)}), {items} tiles: {state.get('answered', 0):,} answers, "
        f"{state.get('cannot judge', 0):,} times \u201ccannot judge\u201d, {state.get('missing', 0):,} missing; "
        f"{len(filled.comments)} comments."
    ]
    for problem, done in PROBLEMS.items():
        own = filled.problems[filled.problems["problem"] == problem]
        if len(own):
            named = [_named(row) for row in own.head(TOLD_AT_MOST).to_dict("records")]
            rest = f" and {len(own) - TOLD_AT_MOST} more" if len(own) > TOLD_AT_MOST else ""
            lines.append(f"{problem}: {len(own)} ({done}): {'; '.join(named)}{rest}.")
    return "\n".join(lines)


def _named(row: dict) -> str:
    place = f"{row['file']} row {row['row']}" if row["row"] else f"reader {row['reader']}"
    about = " ".join(filter(None, (row["item_id"], row["question"])))
    found = f" \u201c{row['found']}\u201d" if row["found"] and row["found"] != row["item_id"] else ""
    return f"{place}, {about}{found}"
