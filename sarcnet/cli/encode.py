"""`sarcnet encode`: encoding on many machines before notebook 02 runs, with `--part 3 --parts 20` in each task of an array
of jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Each part begins at another place of the list of slides and goes round it, so that parts seldom meet; where they do, a
lock lets one wait for the other. Any part may be stopped, repeated or left out: what is missing is done by the others
or by the notebook, which finds the rest finished. All parts see the same folder, runs/<profile>.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from sarcnet.cli.part import add_part_arguments, run_part, unopened_stage
from sarcnet.compendium.progress import track
from sarcnet.features.encoders.lookup import encoder_named, resolution_notes
from sarcnet.features.identity import Extraction, SlideTiles
from sarcnet.features.rotation import Encoding, encode_anywhere, rotated
from sarcnet.features.settings import FeaturesSettings
from sarcnet.features.worklist import slides_to_encode
from sarcnet.slides.pool.crash_safe import MapFunction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_part_arguments(parser, part="where this part begins, from 0")


def run(options: argparse.Namespace) -> int:
    """Encode the slides, begun at a part of them; see :func:`sarcnet.cli.part.run_part`."""
    return run_part(options, lambda profile, **how: encode(profile, **how).to_dict("records"))


def prepared(profile: str, *, jobs: int | None = None) -> tuple[Encoding, list[SlideTiles]]:
    """What notebook 02 would encode, and how. `jobs`: threads; None: as the profile says.

    Raises:
        SarcnetError: notebook 01 has not finished.
    """
    stage = unopened_stage(profile, "02_features", FeaturesSettings)
    settings = stage.settings
    report = pd.read_parquet(stage.input("01_tiling/slides.parquet")).query("status == 'ok'")
    tiles = pd.read_parquet(stage.input("01_tiling/tiles.parquet"))
    table = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
    slides = slides_to_encode(report, tiles, table, recorded=stage.inputs("00_cohort/slides/*/*"))
    tile_um, tile_px, mpp = report[["tile_um", "tile_px", "target_mpp"]].iloc[0]
    for note in resolution_notes(encoder_named(settings.encoder), tile_px=int(tile_px), mpp=mpp):
        print(note, file=sys.stderr)
    extraction = Extraction.of(settings, tile_um=tile_um, tile_px=int(tile_px))
    folder = stage.dir / "features"
    return Encoding(settings.encoder, extraction, settings.seed, folder, jobs or settings.jobs), slides


def encode(
    profile: str, *, part: int = 0, parts: int = 1, spread: MapFunction | None = None, jobs: int | None = None
) -> pd.DataFrame:
    """Do notebook 02's encoding with the profile's parameters.

    Args:
        profile: its name or path.
        part: where to begin, of `parts`, from 0.
        parts: how many parts there are.
        spread: where slides are encoded, each on one processor; None: here, with `jobs` threads for all slides.
        jobs: processes of `spread`, or threads; None: as the profile says.

    Returns:
        The report, one row per slide, as notebook 02 has it.

    Raises:
        SarcnetError: notebook 01 has not finished.
    """
    what, slides = prepared(profile, jobs=jobs)
    mine = rotated(slides, part=part, parts=parts)
    return pd.DataFrame(list(track(encode_anywhere(what, mine, spread=spread), total=len(mine), what="slides")))
