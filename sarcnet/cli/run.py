"""`sarcnet run`: runs the notebooks of a profile."""

from __future__ import annotations

import argparse

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium import runner
from sarcnet.compendium.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_profile(parser)
    parser.add_argument("--from", dest="first", metavar="STAGE", help="run this stage again and go on, for example 04")
    parser.add_argument("--only", metavar="STAGE", help="run this stage only")
    parser.add_argument("--upto", dest="last", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--force", action="store_true", help="run even what is up to date")
    parser.add_argument(
        "--cell-timeout",
        type=int,
        default=10_800,
        metavar="SECONDS",
        help="give up a cell after this time (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Run what is not up to date; see :func:`sarcnet.compendium.runner.run` for the exit code."""
    return runner.run(
        Study.load(options.profile),
        first=options.first,
        only=options.only,
        last=options.last,
        force=options.force,
        cell_timeout_s=options.cell_timeout,
    )
