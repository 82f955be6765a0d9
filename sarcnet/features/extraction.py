"""From tiles to feature files, all cores busy: each thread reads a batch of tiles and encodes it.

Batches of several slides are under way at once, so no core idles at a slide's end, and since reading and encoding
share the same cores there is no separate reader for the encoder to wait for: OpenSlide, Pillow and ONNX Runtime all
work outside Python's lock. Finished slides are not encoded again.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

from sarcnet.features import choice, runtime, store
from sarcnet.features.choice import choose_tiles
from sarcnet.features.runtime import Runtime
from sarcnet.features.settings import FeaturesSettings
from sarcnet.features.store import is_done, write_features
from sarcnet.slides import opening, reading
from sarcnet.slides.identity import code_identity, file_identity, unit_key
from sarcnet.slides.opening import SlideFault, open_slide
from sarcnet.slides.reading import TileReader, UnreadableTile, plan, resample
from sarcnet.slides.study import slide_files
from sarcnet.slides.units import TilePx, Um

_CODE = (choice, opening, reading, runtime, store)
Generator = Callable[[str], np.random.Generator]
STEPS = ("read", "resize", "encode", "write")
"""Where time goes; `read` is reading and decoding, which OpenSlide does in one call. Summed over threads."""


@dataclass(frozen=True)
class SlideTiles:
    """One slide's work: its file, µm/px as settled by notebook 01, and its kept tiles (tile, x_px, y_px)."""

    slide_id: str
    path: Path
    mpp: float
    tiles: pd.DataFrame


def slides_to_encode(
    report: pd.DataFrame, tiles: pd.DataFrame, slides: pd.DataFrame, *, recorded: Mapping[str, Path]
) -> list[SlideTiles]:
    """The slides that notebook 01 could tile, with their files.

    Args:
        report: notebook 01's slide report (slide_id, status, mpp).
        tiles: notebook 01's tiles.
        slides: notebook 00's slides (slide_id, file).
        recorded: the slide files that notebook 00 vouches for.
    """
    files = slide_files(slides, recorded=recorded)
    by_slide = {slide_id: part.reset_index(drop=True) for slide_id, part in tiles.groupby("slide_id")}
    ok = report[report["status"] == "ok"]
    return [
        SlideTiles(slide_id, files[slide_id], float(mpp), by_slide[slide_id])
        for slide_id, mpp in zip(ok["slide_id"], ok["mpp"], strict=True)
    ]


@dataclass(frozen=True)
class Extraction:
    """What shapes the features of a cohort: the tile, how many of a slide at most, how many in one call of the
    encoder.
    """

    tile_um: float
    tile_px: int
    tiles_max: int
    batch_tiles: int

    @classmethod
    def of(cls, settings: FeaturesSettings, *, tile_um: float, tile_px: int) -> Extraction:
        """From notebook 02's settings and the tiles that notebook 01 cut."""
        return cls(tile_um, tile_px, settings.tiles_per_slide_max, settings.batch_tiles)


@dataclass
class _Batch:
    features: np.ndarray  # (k, d) of the tiles that could be read
    rows: np.ndarray  # (k,) their rows among the chosen tiles
    seconds: dict[str, float]


@dataclass
class _Job:
    slide: SlideTiles
    chosen: pd.DataFrame
    path: Path
    key: str
    fault: SlideFault | None = None
    resumed: bool = False
    batches: list[Future[_Batch]] = field(default_factory=list)


def extract_cohort(
    slides: Iterable[SlideTiles],
    *,
    encoder: Runtime,
    extraction: Extraction,
    generator: Generator,
    folder: Path,
    jobs: int,
) -> Iterator[dict[str, object]]:
    """Write `folder`/<slide_id>.h5 for each slide, in order; yield one row of the report as each is finished.

    A slide that fails leaves no file; its row has status "failed", cause and advice.

    Args:
        slides: what to encode.
        encoder: the network.
        extraction: the parameters.
        generator: slide_id -> the generator that draws its tiles where there are more than `tiles_max`.
        folder: where the files go; those with the right key are left as they are.
        jobs: threads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pending: deque[_Job] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="encode") as pool:
        for slide in slides:
            pending.append(_start(slide, generator, encoder, extraction, folder, pool))
            while pending and (len(pending) > 2 * jobs or all(batch.done() for batch in pending[0].batches)):
                yield _finish(pending.popleft(), encoder, extraction)
        while pending:
            yield _finish(pending.popleft(), encoder, extraction)


def feature_key(slide: SlideTiles, chosen: pd.DataFrame, *, encoder: Runtime, extraction: Extraction) -> str:
    """Key of one slide's features: slide file, µm/px, tiles chosen, encoder's weights, runtime and code."""
    corners = chosen[["tile", "x_px", "y_px"]].to_numpy(np.int64)
    return unit_key(
        {
            "file": file_identity(slide.path),
            "mpp": slide.mpp,
            "tiles": hashlib.sha256(corners.tobytes()).hexdigest(),
            "tile": (extraction.tile_um, extraction.tile_px),
            "batch": extraction.batch_tiles,
            "encoder": (encoder.encoder.name, encoder.encoder.weights(), encoder.encoder.onnx().name),
            "onnxruntime": onnxruntime.__version__,
            "code": code_identity(_CODE),
        }
    )


def _start(
    slide: SlideTiles,
    generator: Generator,
    encoder: Runtime,
    extraction: Extraction,
    folder: Path,
    pool: ThreadPoolExecutor,
) -> _Job:
    chosen = choose_tiles(slide.tiles, at_most=extraction.tiles_max, rng=generator(slide.slide_id))
    path = folder / f"{slide.slide_id}.h5"
    job = _Job(slide, chosen, path, feature_key(slide, chosen, encoder=encoder, extraction=extraction))
    if is_done(path, key=job.key):
        job.resumed = True
        return job
    path.unlink(missing_ok=True)
    try:
        handle, info = open_slide(slide.path, mpp_override=slide.mpp)
    except SlideFault as fault:
        job.fault = fault
        return job
    reader = TileReader(handle, info, plan(info, tile_um=Um(extraction.tile_um), tile_px=TilePx(extraction.tile_px)))
    corners = chosen[["x_px", "y_px"]].to_numpy(float)
    for first in range(0, len(corners), extraction.batch_tiles):
        rows = np.arange(first, min(first + extraction.batch_tiles, len(corners)))
        job.batches.append(pool.submit(_encode, reader, corners, rows, encoder))
    return job


def _encode(reader: TileReader, corners: np.ndarray, rows: np.ndarray, encoder: Runtime) -> _Batch:
    seconds = dict.fromkeys(STEPS, 0.0)
    tiles, read = [], []
    for row in rows:
        start = time.perf_counter()
        try:
            region, box = reader.region(*corners[row])
        except UnreadableTile:
            continue
        middle = time.perf_counter()
        tiles.append(resample(region, box, reader.plan.tile_px))
        read.append(row)
        seconds["read"] += middle - start
        seconds["resize"] += time.perf_counter() - middle
    start = time.perf_counter()
    features = encoder.encode(np.stack(tiles)) if tiles else np.empty((0, encoder.encoder.dim), np.float32)  # (k, d)
    seconds["encode"] = time.perf_counter() - start
    return _Batch(features, np.array(read, dtype=np.int64), seconds)


def _finish(job: _Job, encoder: Runtime, extraction: Extraction) -> dict[str, object]:
    row: dict[str, object] = {"slide_id": job.slide.slide_id, "status": "ok", "cause": "", "advice": ""}
    row |= {"n_tiles": len(job.slide.tiles), "n_encoded": len(job.chosen), "n_unreadable": 0, "resumed": job.resumed}
    row |= {f"seconds_{step}": 0.0 for step in STEPS}
    if job.resumed:
        row["n_encoded"] = len(store.read_features(job.path).coords)
        row["n_unreadable"] = len(job.chosen) - int(str(row["n_encoded"]))
        return row
    batches = [future.result() for future in job.batches]
    rows = np.concatenate([batch.rows for batch in batches]) if batches else np.empty(0, np.int64)
    if job.fault is None and len(rows) == 0:
        job.fault = SlideFault(
            f"No tile of {job.slide.path.name} can be decoded.", "Copy the slide again from the scanner."
        )
    if job.fault is not None:
        return row | {"status": "failed", "cause": job.fault.cause, "advice": job.fault.advice, "n_encoded": 0}
    start = time.perf_counter()
    kept = job.chosen.iloc[rows]
    write_features(
        job.path,
        features=np.concatenate([batch.features for batch in batches]),  # (n, d)
        coords=kept[["x_px", "y_px"]].to_numpy(),
        tiles=kept["tile"].to_numpy(),
        attrs=_attributes(job, encoder, extraction),
    )
    for step in STEPS[:-1]:
        row[f"seconds_{step}"] = sum(batch.seconds[step] for batch in batches)
    row["seconds_write"] = time.perf_counter() - start
    return row | {"n_encoded": len(rows), "n_unreadable": len(job.chosen) - len(rows)}


def _attributes(job: _Job, encoder: Runtime, extraction: Extraction) -> dict[str, object]:
    return {
        "slide_id": job.slide.slide_id,
        "key": job.key,
        "encoder": encoder.encoder.name,
        "encoder_sha256": encoder.encoder.weights(),
        "tile_um": extraction.tile_um,
        "tile_px": extraction.tile_px,
        "mpp": extraction.tile_um / extraction.tile_px,
        "mpp_level0": job.slide.mpp,
        "patch_size_level0": extraction.tile_um / job.slide.mpp,
    }
