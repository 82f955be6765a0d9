"""Encoding on many machines before notebook 02 runs: `python -m sarcnet.cli.encode PROFILE`, with `--part 3 --parts 20`
in each task of an array of jobs, or with `--backend ray --address HOST:PORT` once, on a Ray cluster.

Each part begins at another place of the list of slides and goes round it, so that parts seldom meet; where they do, a
lock lets one wait for the other. Any part may be stopped, repeated or left out: what is missing is done by the others
or by the notebook, which finds the rest finished. All parts see the same folder, runs/<profile>.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from sarcnet.compendium.params import validated
from sarcnet.compendium.progress import track
from sarcnet.compendium.seeds import rng
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.features.encoders.lookup import encoder_named, resolution_notes
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.features.extraction import Extraction, SlideTiles, extract_cohort
from sarcnet.features.settings import FeaturesSettings
from sarcnet.features.worklist import slides_to_encode
from sarcnet.slides.cohort_tiling import SECONDS_MAX, fault_of
from sarcnet.slides.pool.cluster import command, require_part
from sarcnet.slides.pool.crash_safe import MapFunction, WorkerCrash
from sarcnet.slides.slide_result import failed

STAGE = "02_features"


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


def encode(what: Encoding, slides: Sequence[SlideTiles]) -> Iterator[dict[str, object]]:
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
    return next(encode(what, [slide]))


@lru_cache(maxsize=1)
def _runtime(name: str) -> EncoderRuntime:
    return runtime_for(encoder_named(name))  # loaded once in each process


def _lost(slide: SlideTiles, lost: WorkerCrash) -> dict[str, object]:
    return {
        "slide_id": slide.slide_id,
        "n_encoded": 0,
        "n_resumed": 0,
        **failed(fault_of(slide.path, lost, SECONDS_MAX)),
    }


def prepared(profile: str, *, jobs: int | None = None) -> tuple[Encoding, list[SlideTiles]]:
    """What notebook 02 would encode, and how. `jobs`: threads; None: as the profile says.

    Raises:
        SarcnetError: notebook 01 has not finished.
    """
    study = Study.load(profile)
    notebook = next(notebook for notebook in study.notebooks if notebook.name == STAGE)
    settings = validated(FeaturesSettings, study.parameters(notebook))
    stage = Stage(STAGE, settings)  # not opened: a finished stage stays finished
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


def encode_ahead(
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
        The report, one row a slide, as notebook 02 has it.

    Raises:
        SarcnetError: notebook 01 has not finished, or the parts make no sense.
    """
    require_part(part, parts=parts)
    what, slides = prepared(profile, jobs=jobs)
    mine = rotated(slides, part=part, parts=parts)
    if spread is None:
        return pd.DataFrame(list(track(encode(what, mine), total=len(mine), what="slides")))
    found = spread(
        encode_one, [(replace(what, jobs=1), slide) for slide in mine], jobs=what.jobs, seconds_max=SECONDS_MAX
    )
    rows = [_lost(slide, row) if isinstance(row, WorkerCrash) else row for slide, row in zip(mine, found, strict=True)]
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see :func:`sarcnet.slides.pool.cluster.command`."""
    return command(
        arguments,
        work=lambda profile, **how: encode_ahead(profile, **how).to_dict("records"),
        prog="python -m sarcnet.cli.encode",
        description="Encode before notebook 02.",
        part="where this part begins, from 0",
    )


if __name__ == "__main__":
    from sarcnet.cli import encode as ahead  # its functions go to other processes by the module's name

    sys.exit(ahead.main())
