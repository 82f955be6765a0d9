"""`sarcnet tile`: tiling on many machines before notebook 01 runs, with `--part 3 --parts 20` in each task of an array of
jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Part k of n takes every n-th slide from k on. Any part may be stopped, repeated or left out: notebook 01 finds what is
finished and does the rest. All machines see the same folders, under the same paths.
"""

from __future__ import annotations

import argparse

import pandas as pd

from sarcnet.cli.part import add_part_arguments, run_part, unopened_stage
from sarcnet.compendium.progress import track
from sarcnet.slides.cohort_tiling import slide_files, tile_cohort
from sarcnet.slides.pool.crash_safe import MapFunction, map_isolated
from sarcnet.slides.settings import TilingSettings
from sarcnet.slides.slide_result import SlideResult
from sarcnet.slides.tiling import TileRules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_part_arguments(parser, part="which part, from 0")


def run(options: argparse.Namespace) -> int:
    """Tile a part of the slides; see :func:`sarcnet.cli.part.run_part`."""
    return run_part(
        options, lambda profile, **how: [{"slide_id": r.slide_id, **r.report} for r in tile(profile, **how)]
    )


def tile(
    profile: str, *, part: int = 0, parts: int = 1, spread: MapFunction | None = None, jobs: int | None = None
) -> list[SlideResult]:
    """Do notebook 01's tiling with the profile's parameters.

    Args:
        profile: its name or path.
        part: which of `parts`, from 0.
        parts: how many parts there are.
        spread: where slides are tiled; None: on this machine.
        jobs: processes; None: as the profile says.

    Raises:
        SarcnetError: notebook 00 has not finished.
    """
    stage = unopened_stage(profile, "01_tiling", TilingSettings)
    slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
    files = slide_files(slides, recorded=stage.inputs("00_cohort/slides/*/*"))
    mine = slides.iloc[part::parts]
    results = tile_cohort(
        mine,
        files=files,
        rules=TileRules.of(stage.settings),
        work=stage.dir / "units",
        pictures=stage.dir / "thumbnails",
        jobs=jobs or stage.settings.jobs,
        spread=spread or map_isolated,
    )
    return list(track(results, total=len(mine), what="slides"))
