"""`sarcnet encode`: encoding on many machines before notebook 02 runs, with `--part 3 --parts 20` in each task of an array
of jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Each part begins at another place of the list of slides and goes round it, so that parts seldom meet; where they do, a
lock lets one wait for the other. Any part may be stopped, repeated or left out: what is missing is done by the others
or by the notebook, which finds the rest finished. All parts see the same folder, runs/<profile>.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from sarcnet.cli.part import add_part_arguments, run_part, unopened_stage
from sarcnet.compendium.progress import track
from sarcnet.compendium.seeds import rng
from sarcnet.features.encoders.lookup import encoder_named, resolution_notes
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.features.extraction import Extraction, SlideTiles, extract_cohort
from sarcnet.features.settings import FeaturesSettings
from sarcnet.features.worklist import slides_to_encode
from sarcnet.slides.cohort_tiling import SECONDS_MAX, fault_of
from sarcnet.slides.pool.crash_safe import MapFunction, WorkerCrash
from sarcnet.slides.slide_result import failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_part_arguments(parser, part="where this part begins, from 0")


def run(options: argparse.Namespace) -> int:
    """Encode the slides, begun at a part of them; see :func:`sarcnet.cli.part.run_part`."""
    return run_part(options, lambda profile, **how: encode(profile, **how).to_dict("records"))


def rotated(slides: Sequence[SlideTiles], *, part: int, parts: int) -> list[SlideTiles]:
    """All slides, begun at part/parts of the list."""
    start = len(slides) * part // parts
    return [*slides[start:], *slides[:start]]


@dataclass(frozen=True)
class Encoding:
    """What the encoding of a slide needs besides the slide: encoder's name, parameters, seed, folder, threads."""

    encoder: str
    extraction: Extraction
    seed: int
    folder: Path
    jobs: int


def encode_slides(what: Encoding, slides: Sequence[SlideTiles]) -> Iterator[dict[str, object]]:
    """One row of the report for each slide, as :func:`sarcnet.features.extraction.extract_cohort` gives them."""
    return extract_cohort(
        slides,
        encoder=_runtime(what.encoder),
        extraction=what.extraction,
        generator=lambda slide_id: rng(what.seed, "tiles", slide_id),
        folder=what.folder,
        jobs=what.jobs,
    )


def encode_one(what: Encoding, slide: SlideTiles) -> dict[str, object]:
    """The row of one slide; what a machine of a cluster is asked to do."""
    return next(encode_slides(what, [slide]))


@lru_cache(maxsize=1)
def _runtime(name: str) -> EncoderRuntime:
    return runtime_for(encoder_named(name))  # loaded once in each process


def _crashed(slide: SlideTiles, crash: WorkerCrash) -> dict[str, object]:
    return {
        "slide_id": slide.slide_id,
        "n_encoded": 0,
        "n_resumed": 0,
        **failed(fault_of(slide.path, crash, SECONDS_MAX)),
    }


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
    if spread is None:
        return pd.DataFrame(list(track(encode_slides(what, mine), total=len(mine), what="slides")))
    tasks = [(replace(what, jobs=1), slide) for slide in mine]
    rows = zip(mine, spread(encode_one, tasks, jobs=what.jobs, seconds_max=SECONDS_MAX), strict=True)
    return pd.DataFrame([_crashed(slide, row) if isinstance(row, WorkerCrash) else row for slide, row in rows])
