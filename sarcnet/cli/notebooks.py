"""`sarcnet notebooks`: writes the notebooks from their sources, or the other way."""

from __future__ import annotations

import argparse

from sarcnet.compendium.notebooks import differences, pairs, write_notebooks
from sarcnet.compendium.paths import root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--check", action="store_true", help="write nothing; exit 1 when a notebook is stale")
    way.add_argument("--from-ipynb", action="store_true", help="write the sources from the notebooks")


def run(options: argparse.Namespace) -> int:
    """Write what differs and name it; with --check name it only."""
    folder = root() / "notebooks"
    if options.check:
        stale = differences(folder)
        print("\n".join(stale) or f"{len(pairs(folder))} notebooks agree with their sources.")
        return 1 if stale else 0
    for path in write_notebooks(folder, from_ipynb=options.from_ipynb):
        print(f"wrote {path.parent.name}/{path.name}")
    return 0
