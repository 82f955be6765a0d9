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

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.interpret.review.design import CANNOT_JUDGE, CATEGORIES, KEY_COLUMNS, KEY_TEXTS, QUESTIONS
from sarcnet.interpret.review.kappa import NO_ANSWER

NEEDED = ["reader", "item_id", *QUESTIONS]  # `reader`: the code with which a pathologist signs
COLUMNS = [*NEEDED, "sheet_id", "comment"]
PROBLEM_COLUMNS = ["file", "row", "reader", "item_id", "problem", "question", "found"]
ALLOWED = {str(category): category for category in range(CATEGORIES)}
NAMED_AT_MOST = 12
#: problem: what is done about it
PROBLEMS = {
    "unknown tile": "the row is left out",
    "another sheet": "the row is left out",
    "repeated row": "the same row twice counts once",
    "contradiction": "all rows of this tile by this pathologist are left out",
    "not an answer": "counts as missing",
    "missing": "no answer in this cell",
    "tile without a row": "counts as missing throughout",
}


@dataclass(frozen=True)
class Answers:
    """What the pathologists answered.

    answers: one row per pathologist, item of the key and question, in the key's order: reader, item_id, question, answer
        (0 to 3, NO_ANSWER), state ("answered", "cannot judge", "missing").
    comments: reader, item_id, comment.
    problems: file, row (as numbered by a spreadsheet, 0 where it concerns none), reader, item_id, problem (PROBLEMS),
        question, found.
    key: of the review, see `read_key`.
    """

    answers: pd.DataFrame
    comments: pd.DataFrame
    problems: pd.DataFrame
    key: pd.DataFrame

    @property
    def pathologists(self) -> list[str]:
        """Their codes, sorted."""
        return sorted(self.answers["reader"].unique())

    def summary_text(self) -> str:
        """What came back, and every kind of problem with its count, what is done, and the first few by name."""
        state = self.answers["state"].value_counts()
        lines = [
            f"{len(self.pathologists)} pathologists ({', '.join(self.pathologists)}), {len(self.key)} tiles: "
            f"{state.get('answered', 0):,} answers, {state.get('cannot judge', 0):,} times \u201ccannot judge\u201d, "
            f"{state.get('missing', 0):,} missing; {len(self.comments)} comments."
        ]
        for problem, done in PROBLEMS.items():
            rows = self.problems[self.problems["problem"] == problem]
            if len(rows):
                named = [_named(row) for row in rows.head(NAMED_AT_MOST).to_dict("records")]
                rest = f" and {len(rows) - NAMED_AT_MOST} more" if len(rows) > NAMED_AT_MOST else ""
                lines.append(f"{problem}: {len(rows)} ({done}): {'; '.join(named)}{rest}.")
        return "\n".join(lines)


def read_key(path: Path) -> pd.DataFrame:
    """The key as written by `write_review`.

    Args:
        path: key.csv of the review.

    Returns:
        One row per item of the sheet with KEY_COLUMNS; texts are empty where they do not apply.

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
    return key.assign(**{name: key[name].fillna("").astype(str) for name in KEY_TEXTS})


def read_answers(paths: Sequence[Path], *, key: Path) -> Answers:
    """Read filled sheets, each of one pathologist or several; the columns are those of `sheet.ANSWER_COLUMNS`.

    Separators may be commas, semicolons or tabs; the order of rows and further columns do not matter.

    Args:
        paths: CSV files.
        key: key.csv of the review.

    Returns:
        The answers, and every cell and row that could not be used.

    Raises:
        SarcnetError: the key cannot be used, or naming every file that cannot be read at all, lacks a column or names no
            pathologist, and pathologists who come in several files.
    """
    known, faults = read_key(key), ErrorCollector()
    tables: list[pd.DataFrame] = []
    came_in: dict[str, str] = {}
    for path in paths:
        try:
            table = _rows(path)
        except SarcnetError as error:
            faults.add(str(error))
            continue
        for reader in sorted(table["reader"].unique()):
            if reader in came_in:
                faults.add(f"Pathologist {reader} comes in {came_in[reader]} and in {path.name}: keep one of them.")
            came_in[reader] = path.name
        tables.append(table)
    if not paths:
        faults.add("No filled sheet was named.")
    faults.raise_if_any("The review cannot be read")
    return _checked(pd.concat(tables, ignore_index=True), key=known)


def _rows(path: Path) -> pd.DataFrame:
    """The filled rows of one file as text, with COLUMNS, file and row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SarcnetError(f"{path.name} cannot be read as UTF-8 text ({error}): save it as CSV UTF-8.") from None
    # pandas would refuse a file for one row with a cell too many, as a comma in a comment leaves it.
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=text.partition("\n")[0].count))
    lines.fieldnames = [name.strip() for name in lines.fieldnames or []]
    table = pd.DataFrame(list(lines), columns=list(dict.fromkeys(lines.fieldnames)), dtype=object)
    lacking = [name for name in NEEDED if name not in table]
    if lacking:
        raise SarcnetError(
            f"{path.name} lacks the columns {', '.join(lacking)}: keep the first line of the sheet's table."
        )
    table = table.reindex(columns=COLUMNS).fillna("").apply(lambda column: column.str.strip())
    table = table.assign(file=path.name, row=table.index + 2)[table.ne("").any(axis=1)]
    if table.empty:
        raise SarcnetError(f"{path.name} has no rows: send the table that the sheet's button downloads.")
    nameless = table.loc[table["reader"] == "", "row"].astype(str).tolist()
    if nameless:
        where = ", ".join(nameless[:NAMED_AT_MOST]) + (" …" if len(nameless) > NAMED_AT_MOST else "")
        raise SarcnetError(f"{path.name} names no pathologist in row {where}: write the code into each row.")
    return table


def _checked(rows: pd.DataFrame, *, key: pd.DataFrame) -> Answers:
    place, questions = ["reader", "item_id"], list(QUESTIONS)
    sheet = rows["item_id"].map(key.set_index("item_id")["sheet_id"])
    unknown = sheet.isna()
    other = ~unknown & rows["sheet_id"].ne("") & rows["sheet_id"].ne(sheet)
    usable = rows[~unknown & ~other]
    differs = usable.groupby(place)[questions].transform("nunique").gt(1).any(axis=1)
    repeated = usable.duplicated(place) & ~differs
    single = usable[~differs & ~repeated]

    items = pd.MultiIndex.from_product([sorted(rows["reader"].unique()), key["item_id"]], names=place)
    cells = single.set_index(place)[[*questions, "file", "row"]].reindex(items).set_index(["file", "row"], append=True)
    cells = cells.rename_axis(columns="question").stack(future_stack=True).rename("found").reset_index()
    answer = cells["found"].map(ALLOWED)
    cannot = cells["found"].str.upper().eq(CANNOT_JUDGE)
    cells["answer"] = answer.fillna(NO_ANSWER).astype(int)
    cells["state"] = np.select([answer.notna(), cannot], ["answered", "cannot judge"], "missing")
    unused = cells[(cells["state"] == "missing") & cells["row"].notna()]

    absent = items.difference(pd.MultiIndex.from_frame(usable[place]), sort=False).to_frame(index=False)
    files = rows.drop_duplicates("reader").set_index("reader")["file"]
    contradiction = usable[differs]
    texts = [" ".join(row) for row in contradiction[questions].replace("", "-").to_numpy()]
    problems = [
        rows[unknown].assign(problem="unknown tile", found=rows.loc[unknown, "item_id"]),
        rows[other].assign(problem="another sheet", found=rows.loc[other, "sheet_id"]),
        usable[repeated].assign(problem="repeated row"),
        contradiction.assign(problem="contradiction", found=texts),
        unused.assign(problem=np.where(unused["found"] == "", "missing", "not an answer")),
        absent.assign(file=absent["reader"].map(files), row=0, problem="tile without a row"),
    ]
    return Answers(
        cells[[*place, "question", "answer", "state"]],
        single.loc[single["comment"] != "", [*place, "comment"]],
        pd.concat(problems).reindex(columns=PROBLEM_COLUMNS).fillna("").astype({"row": int}).reset_index(drop=True),
        key,
    )


def _named(row: dict) -> str:
    place = f"{row['file']} row {row['row']}" if row["row"] else f"pathologist {row['reader']}"
    about = " ".join(filter(None, (row["item_id"], row["question"])))
    found = f" \u201c{row['found']}\u201d" if row["found"] and row["found"] != row["item_id"] else ""
    return f"{place}, {about}{found}"
