"""Reads the checklists: for each item its number, topic, answer and the notebook sections that hold the details."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Item:
    """One item of a checklist; `where` holds (notebook, words of the heading) of the sections that answer it."""

    number: str
    topic: str
    answer: str
    where: tuple[tuple[str, str], ...]


def read_checklist(name: str) -> tuple[Item, ...]:
    """The items of `name`.yaml beside this module ("tripod_ai" or "probast_ai"), in their order."""
    rows = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    return tuple(
        Item(row["item"], row["topic"], row["answer"].strip(), _sections(row.get("where", []))) for row in rows
    )


def _sections(entries: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((entry.split(": ", 1)[0], entry.split(": ", 1)[1]) for entry in entries)
