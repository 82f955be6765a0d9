"""Encoding a list of slides here or on many machines, where several jobs go round the same list from different places.

In come slides with their tiles and how to encode them; out come feature files, and one row of the report per slide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from sarcnet.compendium.seeds import rng
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.features.extraction import extract_cohort
from sarcnet.features.identity import Extraction, SlideTiles
from sarcnet.slides.cohort_tiling import SECONDS_MAX, fault_of
from sarcnet.slides.pool.crash_safe import MapFunction, WorkerCrash
from sarcnet.slides.slide_result import failed


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


def encode_anywhere(
    what: Encoding, slides: Sequence[SlideTiles], *, spread: MapFunction | None
) -> Iterator[dict[str, object]]:
    """Rows of the report, in the order of `slides`.

    Args:
        what: encoder, parameters, seed, folder, and the processes of `spread` or threads without it.
        slides: what is encoded.
        spread: over other machines, each slide on one processor; None: here, with threads for all slides.

    Yields:
        One row per slide; a slide that ended its process, or never came back, is reported like any other failure.
    """
    if spread is None:
        yield from encode_slides(what, slides)
        return
    tasks = [(replace(what, jobs=1), slide) for slide in slides]
    rows = spread(encode_one, tasks, jobs=what.jobs, seconds_max=SECONDS_MAX)
    for slide, row in zip(slides, rows, strict=True):
        yield _crashed(slide, row) if isinstance(row, WorkerCrash) else row


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
