"""Every study and benchmark is run by a verb of the Makefile, and `make studies` names them."""

from __future__ import annotations

import re
from pathlib import Path

import studies

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
STARTED_BY_ANOTHER = {"studies.benchmarks.slides.make_slide", "studies.benchmarks.slides.tiles"}


def programs() -> set[str]:
    """Modules of studies that can be run, but those that measure one tool in its own environment."""
    paths = [path for path in (ROOT / "studies").rglob("*.py") if "tools" not in path.parts]
    runnable = [path for path in paths if "__main__" in path.read_text(encoding="utf-8")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in runnable}


def test_the_makefile_has_a_verb_for_every_study_and_benchmark():
    run_by_make = set(re.findall(r"-m (studies\.[\w.]+)", MAKEFILE))
    assert programs() - STARTED_BY_ANOTHER == run_by_make


def test_the_list_of_studies_names_every_verb_and_pages_that_exist():
    text = str(studies.__doc__)
    verbs = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE))
    wanted = {verb for verb, commands in verbs.items() if "-m studies." in commands and not verb.startswith("bench")}
    assert wanted == set(re.findall(r"^make ([a-z-]+) ", text, re.MULTILINE))
    pages = re.findall(r"docs/[\w-]+\.md", text)
    assert pages
    assert [page for page in pages if not (ROOT / page).is_file()] == []


def test_readers_are_told_verbs_and_not_modules_of_studies():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks" / "src").glob("*.py")]
    pages.remove(ROOT / "docs" / "calibration.md")  # written by its study
    assert {
        page.name: found for page in pages if (found := re.findall(r"python -m studies[\w.]*", page.read_text()))
    } == {}
