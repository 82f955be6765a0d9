"""Tiling on many machines before notebook 01 runs: `python -m sarcnet.cli.tile PROFILE`, with `--part 3 --parts 20` in
each task of an array of jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Part k of n takes every n-th slide from k on. Any part may be stopped, repeated or left out: notebook 01 finds what is
finished and does the rest. All machines see the same folders, under the same paths.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from sarcnet.compendium.params import validated
from sarcnet.compendium.progress import track
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.slides.cohort_tiling import slide_files, tile_cohort
from sarcnet.slides.pool.cluster import command, require_part
from sarcnet.slides.pool.crash_safe import MapFunction, map_isolated
from sarcnet.slides.settings import TilingSettings
from sarcnet.slides.slide_result import SlideResult
from sarcnet.slides.tiling import TileRules

STAGE = "01_tiling"


def tile_ahead(
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
        SarcnetError: notebook 00 has not finished, or the parts make no sense.
    """
    require_part(part, parts=parts)
    study = Study.load(profile)
    notebook = next(notebook for notebook in study.notebooks if notebook.name == STAGE)
    settings = validated(TilingSettings, study.parameters(notebook))
    stage = Stage(STAGE, settings)  # not opened: a finished stage stays finished
    slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
    files = slide_files(slides, recorded=stage.inputs("00_cohort/slides/*/*"))
    mine = slides.iloc[part::parts]
    results = tile_cohort(
        mine,
        files=files,
        rules=TileRules.of(settings),
        work=stage.dir / "units",
        pictures=stage.dir / "thumbnails",
        jobs=jobs or settings.jobs,
        spread=spread or map_isolated,
    )
    return list(track(results, total=len(mine), what="slides"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see :func:`sarcnet.slides.pool.cluster.command`."""
    return command(
        arguments,
        work=lambda profile, **how: [{"slide_id": r.slide_id, **r.report} for r in tile_ahead(profile, **how)],
        prog="python -m sarcnet.cli.tile",
        description="Tile before notebook 01.",
        part="which part, from 0",
    )


if __name__ == "__main__":
    sys.exit(main())
