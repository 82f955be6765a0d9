"""Tiling on many machines before notebook 01 runs: `python -m sarcnet.slides.ahead PROFILE`, with `--part 3 --parts 20` in
each task of an array of jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Part k of n takes every n-th slide from k on. Any part may be stopped, repeated or left out: notebook 01 finds what is
finished and does the rest. All machines see the same folders, under the same paths.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from sarcnet.compendium.faults import SarcnetError
from sarcnet.compendium.losses import WITH_LOSSES
from sarcnet.compendium.params import validated
from sarcnet.compendium.progress import track
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.slides.machines import add_spread, chosen_spread
from sarcnet.slides.settings import TilingSettings
from sarcnet.slides.study import slide_files, tile_cohort
from sarcnet.slides.tiling import TileRules
from sarcnet.slides.unit import SlideResult
from sarcnet.slides.workers import Spread, each

STAGE = "01_tiling"


def tile_ahead(
    profile: str, *, part: int = 0, parts: int = 1, spread: Spread = each, jobs: int | None = None
) -> list[SlideResult]:
    """Do notebook 01's tiling with the profile's parameters.

    Args:
        profile: its name or path.
        part: which of `parts`, from 0.
        parts: how many parts there are.
        spread: where slides are tiled.
        jobs: processes; None: as the profile says.

    Raises:
        SarcnetError: notebook 00 has not finished, or the parts make no sense.
    """
    if not 0 <= part < parts:
        raise SarcnetError(f"There is no part {part} of {parts}: parts are counted from 0 to {parts - 1}.")
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
        spread=spread,
    )
    return list(track(results, total=len(mine), what="slides"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit code 0, 3 when slides could not be used, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m sarcnet.slides.ahead", description="Tile before notebook 01.")
    parser.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    parser.add_argument("--part", type=int, default=0, help="which part, from 0")
    parser.add_argument("--parts", type=int, default=1, help="number of parts")
    add_spread(parser)
    options = parser.parse_args(arguments)
    try:
        spread, jobs = chosen_spread(options)
        results = tile_ahead(options.profile, part=options.part, parts=options.parts, spread=spread or each, jobs=jobs)
    except SarcnetError as error:
        print(f"sarcnet: {error}", file=sys.stderr)
        return 2
    lost = [result for result in results if result.report["status"] == "failed"]
    for result in lost:
        print(f"{result.slide_id}: {result.report['cause']} {result.report['advice']}", file=sys.stderr)
    print(f"{len(results) - len(lost)} slides are tiled, {len(lost)} failed")
    return WITH_LOSSES if lost else 0


if __name__ == "__main__":
    sys.exit(main())
