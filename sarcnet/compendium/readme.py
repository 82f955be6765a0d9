"""The two parts of the README that are written from the committed numbers: the notebooks and the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import root
from sarcnet.compendium.terminal import duration


def block(name: str, text: str, body: str) -> str:
    """`text` with what stands between ``<!-- name:start -->`` and ``<!-- name:end -->`` replaced by `body`.

    Raises:
        SarcnetError: the marks are missing.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    if start not in text or end not in text:
        raise SarcnetError(f"README.md has no marks {start} and {end}; put them where the {name} belong.")
    before, rest = text.split(start, 1)
    return f"{before}{start}\n{body.strip()}\n{end}{rest.split(end, 1)[1]}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def notebooks_block(numbers: dict[str, Any]) -> str:
    """Title, question and time of each notebook."""
    rows = [
        [f"[{stage['title']}](notebooks/{name}.ipynb)", stage["question"], duration(stage["wall_s"])]
        for name, stage in numbers["stages"].items()
    ]
    cores, cpu = numbers["machine"]["cores"], numbers["machine"]["cpu"]
    note = f"Times are those of the {numbers['profile']} run behind `figures/`, on {cores} cores ({cpu})."
    return table(["notebook", "question", "time"], rows) + f"\n\n{note}"


def results_block(numbers: dict[str, Any], results: dict[str, Any]) -> str:
    """The table of results, called what its data are."""
    kind = "**Simulated patients**" if numbers["data_kind"] == "simulated" else f"Patients: {numbers['data_kind']} data"
    lead = f"{kind}, {results['heading']}; value and 95 % bootstrap interval."
    said = [*results.get("statements", []), *results.get("calibration", {}).values()]
    statements = "\n".join(f"- {sentence}" for sentence in said)
    return "\n\n".join([lead, table(results["columns"], results["rows"]), *filter(None, [statements]), results["note"]])


def results_page(numbers: dict[str, Any], results: dict[str, Any], tables: dict[str, str]) -> str:
    """A page with the results of a run that is not the one behind the README, for example of the study profile.

    Args:
        numbers: profile, data_kind and git, as in figures/numbers.json.
        results: results.json of notebook 05.
        tables: further tables by title, as Markdown.
    """
    profile = numbers["profile"]
    commit = numbers["git"].get("commit", "unknown")[:12]
    parts = [
        f"# Results of the profile `{profile}`",
        f"Written by `sarcnet publish {profile}` from commit {commit}; do not edit. The run is repeated by "
        f"`make reproduce PROFILE={profile}`.",
        results_block(numbers, results),
        *(f"## {title}\n\n{body}" for title, body in tables.items()),
    ]
    return "\n\n".join(parts) + "\n"


def written(text: str, folder: Path) -> str:
    """The README `text` as it should be, given the numbers in `folder` (figures/)."""
    numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    text = block("notebooks", text, notebooks_block(numbers))
    return block("results", text, results_block(numbers, results))


def renew(*, check: bool) -> bool:
    """Write README.md anew from figures/ (or, with `check`, only compare). Returns whether it was as it should be."""
    path = root() / "README.md"
    before = path.read_text(encoding="utf-8")
    after = written(before, root() / "figures")
    if not check and after != before:
        with atomic_path(path) as temporary:
            temporary.write_text(after, encoding="utf-8")
    return after == before
