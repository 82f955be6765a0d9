"""Copies a finished run's figures and numbers to figures/, where they are committed, and renews the README."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from sarcnet.compendium.faults import Faults
from sarcnet.compendium.files import HashBook, atomic_path, write_json
from sarcnet.compendium.freshness import read_record
from sarcnet.compendium.paths import resolve, root, shown
from sarcnet.compendium.readme import renew
from sarcnet.compendium.study import Notebook, Study

RESULTS = "results.json"


def headline(notebook: Notebook) -> tuple[str, str]:
    """Title and question, as the notebook's first cell states them: "# 03 · Title" and "**Question.** …"."""
    text = "".join(notebook.content["cells"][0]["source"])
    title = text.splitlines()[0].removeprefix("# ").strip()
    question = re.search(r"\*\*Question\.\*\*\s*(.+?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return title, " ".join(question.group(1).split()) if question else ""


def publish(study: Study) -> int:
    """Renew figures/ and the README from the run of `study`. Returns 0.

    Raises:
        SarcnetError: a stage is not finished or not up to date.
    """
    book = HashBook(study.run_dir / "hashes.json")
    faults = Faults()
    for notebook in study.notebooks:
        if reason := study.why(notebook, book):
            faults.add(f"{notebook.name} would run, because {reason}")
    faults.raise_if_any(f"{study.profile} cannot be published; run `make reproduce PROFILE={study.profile}` first")
    manifest = json.loads((study.run_dir / "manifest.json").read_text(encoding="utf-8"))
    previous = read_numbers(root() / "figures")
    stages: dict[str, Any] = {}
    kept: set[str] = set()
    data_kind = None
    for notebook in study.notebooks:
        record = read_record(study.run_dir / notebook.name)
        assert record is not None
        data_kind = record["data_kind"]
        title, question = headline(notebook)
        # A stage that was up to date took no time in the last run; what it took when it ran stands in its record.
        seconds = manifest["stages"].get(notebook.name, {}).get("wall_s", record["wall_s"])
        stages[notebook.name] = {"title": title, "question": question, "wall_s": seconds, "numbers": record["numbers"]}
        for name, output in record["outputs"].items():
            if name.startswith("figures/") or name == RESULTS:
                kept.add(Path(name).name)
                with atomic_path(root() / "figures" / Path(name).name) as temporary:
                    shutil.copyfile(resolve(output["path"]), temporary)
    for stale in previous.get("files", []):
        if stale not in kept:
            (root() / "figures" / stale).unlink(missing_ok=True)
    write_json(
        root() / "figures" / "numbers.json",
        {
            "profile": study.profile,
            "data_kind": data_kind,
            "git": manifest["git"],
            "python": manifest["python"],
            "packages": manifest["packages"],
            "machine": manifest["machine"],
            "files": sorted(kept),
            "stages": stages,
        },
    )
    renew(check=False)
    print(f"{len(kept)} files in {shown(root() / 'figures')}; README.md renewed.")
    return 0


def read_numbers(folder: Path) -> dict[str, Any]:
    """figures/numbers.json of the last publication, or nothing."""
    try:
        return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
