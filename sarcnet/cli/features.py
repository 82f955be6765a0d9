"""`sarcnet features import`: feature files of TRIDENT, CLAM and STAMP become ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarcnet.cli.arguments import add_actions
from sarcnet.features.importing import import_features


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action and its options."""
    action = add_actions(parser).add_parser(
        "import", help="check files of TRIDENT, CLAM or STAMP and write them as ours"
    )
    action.add_argument("source", type=Path, help="folder with one .h5 per slide")
    action.add_argument(
        "--hospital", type=Path, required=True, metavar="FOLDER", help="folder with slides.csv and the slides"
    )
    action.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="folder that gets <slide_id>.h5")
    action.add_argument(
        "--tile-um", type=float, metavar="UM", help="side of a tile in µm, where the files do not say it"
    )
    action.add_argument("--encoder", metavar="NAME", help="name in docs/encoders.md, to check the number of features")


def run(options: argparse.Namespace) -> int:
    """Print what was taken over and what was not; exit code 0 when all was, 1 otherwise."""
    imported, faults = import_features(
        options.source, hospital=options.hospital, into=options.into, tile_um=options.tile_um, encoder=options.encoder
    )
    for file in imported:
        side = f"{file.tile_um:.4g} µm wide"
        print(f"{file.slide_id}: {file.tiles:,} tiles of {file.dim:,} features, {side}, from {file.tool}")
    for fault in faults.sentences:
        print(f"not taken: {fault}")
    total = len(imported) + len(faults.sentences)
    print(f"{len(imported)} of {total} files were taken over into {options.into.name}.")
    return 1 if faults else 0
