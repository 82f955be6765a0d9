"""Publishes a finished run: figures/ and the README from the demo run, a page of results from another profile's."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import HashBook, atomic_path, write_json
from sarcnet.compendium.freshness import read_record
from sarcnet.compendium.paths import resolve, root, shown
from sarcnet.compendium.readme import renew, results_page
from sarcnet.compendium.study import Notebook, Study

RESULTS = "results.json"
FRONT = "demo"  # the profile behind figures/ and the README
PAGE_TABLES = (
    "differences", "calibration", "metrics", "accuracy_cross_validation", "accuracy_validation", "net_benefit_gains",
    "thresholds", "instability", "censoring_sensitivity", "subgroups", "heterogeneity",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_profile(parser)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when README.md does not say what figures/ says"
    )


def run(options: argparse.Namespace) -> int:
    """Publish the run of a profile, or check what was published."""
    if options.check:
        if not renew(check=True):
            print("README.md does not say what figures/ says; run `make figures`.")
            return 1
        return 0
    return publish(Study.load(options.profile))


def headline(notebook: Notebook) -> tuple[str, str]:
    """Title and question, as the notebook's first cell states them: "# 03 · Title" and "**Question.** …"."""
    text = "".join(notebook.content["cells"][0]["source"])
    title = text.splitlines()[0].removeprefix("# ").strip()
    question = re.search(r"\*\*Question\.\*\*\s*(.+?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return title, " ".join(question.group(1).split()) if question else ""


def publish(study: Study) -> int:
    """Renew what is committed of the run of `study`. Returns 0.

    The demo run renews figures/ and the README; another profile its page of results, docs/results-<profile>.md.

    Raises:
        SarcnetError: a stage is not finished or not up to date.
    """
    book = HashBook(study.run_dir / "hashes.json")
    faults = ErrorCollector()
    for notebook in study.notebooks:
        if reason := study.why(notebook, book):
            faults.add(f"{notebook.name} would run, because {reason}")
    faults.raise_if_any(f"{study.profile} cannot be published; run `make reproduce PROFILE={study.profile}` first")
    manifest = json.loads((study.run_dir / "manifest.json").read_text(encoding="utf-8"))
    stages: dict[str, Any] = {}
    outputs: dict[str, Path] = {}
    data_kind = None
    for notebook in study.notebooks:
        record = read_record(study.run_dir / notebook.name)
        assert record is not None
        data_kind = record["data_kind"]
        title, question = headline(notebook)
        # A stage that was up to date took no time in the last run; what it took when it ran stands in its record.
        seconds = manifest["stages"].get(notebook.name, {}).get("wall_s", record["wall_s"])
        stages[notebook.name] = {"title": title, "question": question, "wall_s": seconds, "numbers": record["numbers"]}
        outputs |= {name: resolve(output["path"]) for name, output in record["outputs"].items()}
    numbers = {
        "profile": study.profile,
        "data_kind": data_kind,
        **{name: manifest[name] for name in ("git", "python", "packages", "machine")},
        "stages": stages,
    }
    return _figures(numbers, outputs) if study.profile == FRONT else _page(numbers, outputs)


def _figures(numbers: dict[str, Any], outputs: Mapping[str, Path]) -> int:
    """Figures and results of the run to figures/, and the README from them."""
    folder = root() / "figures"
    previous = read_numbers(folder)
    kept = {Path(name).name: path for name, path in outputs.items() if name.startswith("figures/") or name == RESULTS}
    for name, path in kept.items():
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(path, temporary)
    for stale in previous.get("files", []):
        if stale not in kept:
            (folder / stale).unlink(missing_ok=True)
    write_json(folder / "numbers.json", {**numbers, "files": sorted(kept)})
    renew(check=False)
    print(f"{len(kept)} files in {shown(folder)}; README.md renewed.")
    return 0


def _page(numbers: dict[str, Any], outputs: Mapping[str, Path]) -> int:
    """The page of results of a profile: its table, its verdicts, and the tables of notebook 05 that are named here."""
    results = json.loads(outputs[RESULTS].read_text(encoding="utf-8"))
    tables = {}
    for name in PAGE_TABLES:
        if path := outputs.get(f"tables/{name}.md"):
            tables[name.replace("_", " ").capitalize()] = path.read_text(encoding="utf-8").split("\n", 2)[2].strip()
    page = root() / "docs" / f"results-{numbers['profile']}.md"
    with atomic_path(page) as temporary:
        temporary.write_text(results_page(numbers, results, tables), encoding="utf-8")
    print(f"{shown(page)} renewed.")
    return 0


def read_numbers(folder: Path) -> dict[str, Any]:
    """figures/numbers.json of the last publication, or nothing."""
    try:
        return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
