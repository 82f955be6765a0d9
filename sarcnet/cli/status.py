"""`sarcnet status`: says which stages would run, and why, without running any."""

from __future__ import annotations

import argparse

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium.excluded import exclusions, sentence
from sarcnet.compendium.files import HashBook
from sarcnet.compendium.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_profile(parser)


def run(options: argparse.Namespace) -> int:
    """Print for each stage whether it is up to date (stages after a stale one depend on what it will write), then what
    finished stages could not use. The exit code is 0 either way.
    """
    study = Study.load(options.profile)
    book = HashBook(study.run_dir / "hashes.json")
    for notebook in study.notebooks:
        reason = study.why(notebook, book)
        print(f"{notebook.name}: " + ("up to date" if reason is None else f"would run, because {reason}"))
    book.save()
    for name, listed in exclusions(study, study.notebooks).items():
        for loss in listed:
            print(f"{name}: {sentence(loss)}")
    return 0
