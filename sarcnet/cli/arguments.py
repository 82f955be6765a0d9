"""Arguments that several commands share."""

from __future__ import annotations

import argparse


def add_profile(parser: argparse.ArgumentParser) -> None:
    """The argument PROFILE."""
    parser.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")


def add_actions(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """The second words of a command, one of which must be given."""
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")
