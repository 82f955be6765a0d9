"""What finished stages could not use: closing lines of a run, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sarcnet.compendium.freshness import read_record
from sarcnet.compendium.study import Notebook, Study

WITH_LOSSES = 3  # exit code: every stage finished, but some of what came in could not be used


def exclusions(study: Study, notebooks: Iterable[Notebook]) -> dict[str, list[dict[str, Any]]]:
    """{stage: what it put on record by :meth:`Stage.left_out`}, of those stages that finished and lost something."""
    records = {notebook.name: read_record(study.run_dir / notebook.name) or {} for notebook in notebooks}
    found = {
        name: [loss for loss in record.get("left_out", []) if loss["unusable"]] for name, record in records.items()
    }
    return {name: listed for name, listed in found.items() if listed}


def unforeseen(found: Mapping[str, list[dict[str, Any]]]) -> int:
    """How many things could not be used that nobody had said would fail."""
    return sum(_count(loss["unusable"]) - _count(loss["known"]) for listed in found.values() for loss in listed)


def sentence(loss: Mapping[str, Any]) -> str:
    """One loss: how many of which hospital, whether they were known, and where each is explained."""
    parts = ", ".join(f"{group} {count} of {loss['of'][group]}" for group, count in loss["unusable"].items())
    failed, known = _count(loss["unusable"]), _count(loss["known"])
    expected = " (all known beforehand)" if known == failed else f" ({known} known beforehand)" if known else ""
    return (
        f"{failed} of {_count(loss['of'])} {loss['what']} could not be used{expected}: {parts}. "
        f"Causes and advice: {loss['report']}"
    )


def closing(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """The lines that a run ends with, and `sarcnet status`."""
    lines = [f"{name}: {sentence(loss)}" for name, listed in found.items() for loss in listed]
    if unforeseen(found):
        advice = dict.fromkeys(
            loss["advice"] for listed in found.values() for loss in listed if loss["known"] != loss["unusable"]
        )
        lines += [*advice, f"All else is finished; the exit code is {WITH_LOSSES}."]
    return lines


def _count(groups: Mapping[str, int]) -> int:
    return sum(groups.values())
