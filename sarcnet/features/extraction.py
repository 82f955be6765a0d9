"""From tiles to feature files, all cores busy: each thread reads a batch of tiles and encodes it.

Batches of several slides are under way at once, so no core idles at a slide's end, and since reading and encoding
share the same cores there is no separate reader for the encoder to wait for: OpenSlide, Pillow and ONNX Runtime all
work outside Python's lock. (An encoder on a graphics card takes one batch at a time; the other threads read ahead.)

Finished slides are not encoded again, nor are finished batches of a slide that was interrupted: each is kept in a
journal until the slide's file is written. Where a finished slide is to have other tiles than before, those that it has
are taken from its file, and only the others are encoded. A lock for each slide lets several processes share one folder;
it is the system's own and is gone when its process dies.
"""

from __future__ import annotations

import glob
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from sarcnet.compendium.cache_keys import unit_key
from sarcnet.features.encoders.runtime import EncoderRuntime
from sarcnet.features.identity import (
    Extraction,
    SlideTiles,
    coords_attributes,
    digest,
    feature_key,
    file_attributes,
    tile_key,
)
from sarcnet.features.partial_features import PartialFeatures
from sarcnet.features.sampling import choose_tiles
from sarcnet.features.store import kept_tiles, read_rows, write_features
from sarcnet.slides.reader.opening import SlideFault, open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.resampling import resample
from sarcnet.slides.reader.units import TilePx, Um

PIECE = 1024  # rows of an earlier file that are copied at once
Generator = Callable[[str], np.random.Generator]
STEPS = ("read", "resize", "encode", "write", "wait")
"""Where time goes; `read` is reading and decoding, which are one call; `wait` is what threads stood idle.
Summed over threads, so that all steps together are the threads' time."""


class _Meter:
    """Seconds that threads worked, and from them how long they stood idle since last asked."""

    def __init__(self, jobs: int) -> None:
        self._lock = threading.Lock()
        self._jobs = jobs
        self._busy = self._idle_told = 0.0
        self._begin = time.perf_counter()

    def worked(self, seconds: float) -> None:
        with self._lock:
            self._busy += seconds

    def idle(self) -> float:
        with self._lock:
            total = self._jobs * (time.perf_counter() - self._begin) - self._busy
            new = max(0.0, total - self._idle_told)  # work under way is counted when it is done
            self._idle_told += new
            return new


@dataclass
class _Job:
    slide: SlideTiles
    chosen: pd.DataFrame
    path: Path
    tile_key: str
    key: str
    lock: FileLock
    kept: np.ndarray  # (n,) for each chosen tile its row in the slide's present file, -1 for none
    fault: SlideFault | None = None
    resumed: bool = False
    busy_elsewhere: bool = False
    journal: PartialFeatures | None = None
    batches_resumed: int = 0
    tiles_resumed: int = 0
    reader: TileReader | None = None
    batches: list[Future[dict[str, float]]] = field(default_factory=list)

    def close(self, *, remove: bool = False) -> None:
        wait([future for future in self.batches if not future.cancel()])  # a closed slide must not be read
        if self.journal is not None:
            self.journal.close(remove=remove)
        if self.reader is not None:
            self.reader.close()
        self.lock.release()


def extract_cohort(
    slides: Iterable[SlideTiles],
    *,
    encoder: EncoderRuntime,
    extraction: Extraction,
    generator: Generator,
    folder: Path,
    jobs: int,
) -> Iterator[dict[str, object]]:
    """Write `folder`/<slide_id>.h5 for each slide, in order; yield one row of the report as each is finished.

    A slide that fails leaves no file; its row has status "failed", cause and advice. A slide that another process is
    encoding is waited for when all before it are done.

    Args:
        slides: what to encode.
        encoder: the network.
        extraction: the parameters.
        generator: slide_id -> the random generator that draws its tiles where there are more than `tiles_max`.
        folder: where the files go; those with the right key are left as they are. Unfinished work lies beside it.
        jobs: threads.

    Yields:
        slide_id, status, cause, advice, numbers of tiles, seconds of each of `STEPS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pending: deque[_Job] = deque()
    meter = _Meter(jobs)
    with ThreadPoolExecutor(jobs, thread_name_prefix="encode") as pool:

        def begun(slide: SlideTiles, *, patient: bool) -> _Job:
            job = _prepare(slide, generator, encoder, extraction, folder)
            return _start(job, encoder, extraction, pool, meter, patient=patient)

        def finished(job: _Job) -> dict[str, object]:
            if job.busy_elsewhere:
                job = begun(job.slide, patient=True)
            return _finish(job, encoder, extraction, meter)

        try:
            for slide in slides:
                pending.append(begun(slide, patient=False))
                while pending and (len(pending) > 2 * jobs or _ready(pending[0])):
                    yield finished(pending.popleft())
            while pending:
                yield finished(pending.popleft())
        finally:
            for job in pending:
                job.close()


def _ready(job: _Job) -> bool:
    return not job.busy_elsewhere and all(batch.done() for batch in job.batches)


def _prepare(
    slide: SlideTiles, generator: Generator, encoder: EncoderRuntime, extraction: Extraction, folder: Path
) -> _Job:
    chosen = choose_tiles(slide.tiles, at_most=extraction.tiles_max, rng=generator(slide.slide_id))
    each = tile_key(slide, encoder=encoder, extraction=extraction)
    key = feature_key(slide, chosen, tile_key=each)
    work = _work(folder)
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / f"{slide.slide_id}.lock", thread_local=False)
    return _Job(slide, chosen, folder / f"{slide.slide_id}.h5", each, key, lock, np.full(len(chosen), -1))


def _work(folder: Path) -> Path:
    """Locks and journals lie beside the feature files, not among them."""
    return folder.with_name(f".{folder.name}.work")


def _start(
    job: _Job,
    encoder: EncoderRuntime,
    extraction: Extraction,
    pool: ThreadPoolExecutor,
    meter: _Meter,
    *,
    patient: bool,
) -> _Job:
    """Take the slide, unless another process has it (`patient`: wait for it), and hand its batches to the pool."""
    try:
        job.lock.acquire(timeout=-1 if patient else 0)
    except Timeout:
        job.busy_elsewhere = True
        return job
    _look_for_kept(job)
    missing = np.flatnonzero(job.kept < 0)
    if job.resumed or not len(missing):
        return job
    try:
        handle, info = open_slide(job.slide.path, mpp_override=job.slide.mpp)
    except SlideFault as fault:
        job.fault = fault
        return job
    read_plan = plan(info, tile_um=Um(extraction.tile_um), tile_px=TilePx(extraction.tile_px))
    job.reader = TileReader(handle, info, read_plan)
    batches = _batches(missing, at_most=extraction.batch_tiles)
    name = unit_key({"key": job.key, "missing": digest(missing), "batches": len(batches)})
    job.journal = PartialFeatures(_work(job.path.parent) / f"{job.slide.slide_id}-{name}.journal")
    job.batches_resumed = len(job.journal)
    job.tiles_resumed += len(job.journal.rows())
    corners = _corners(job.chosen).astype(float)
    for batch, rows in enumerate(batches):
        if batch not in job.journal:
            job.batches.append(pool.submit(_encode, job.reader, corners, batch, rows, encoder, job.journal, meter))
    return job


def _look_for_kept(job: _Job) -> None:
    """See what the slide's present file has of the chosen tiles; a file that has nothing for us is removed.

    A file that lacks chosen tiles, because they could not be read, is not finished: the slide may have been repaired.
    """
    found = kept_tiles(job.path, tile_key=job.tile_key)
    if found is None:
        job.path.unlink(missing_ok=True)
        return
    there = pd.MultiIndex.from_arrays(found.coords.T)
    job.kept = there.get_indexer(pd.MultiIndex.from_arrays(_corners(job.chosen).astype(np.int64).T))
    job.tiles_resumed = int((job.kept >= 0).sum())
    job.resumed = found.key == job.key and job.tiles_resumed == len(job.chosen)


def _corners(tiles: pd.DataFrame) -> np.ndarray:
    """(n, 2) x, y of the tiles' top-left corners, level-0 pixels."""
    return np.column_stack([tiles["x_px"], tiles["y_px"]])


def _batches(tiles: np.ndarray, *, at_most: int) -> list[np.ndarray]:
    """Rows of each batch, in order. All are of one size, give or take a tile: of a small slide a last batch of four would
    leave a thread idle while another still has eight to do."""
    return np.array_split(tiles, -(-len(tiles) // at_most))


def _encode(
    reader: TileReader,
    corners: np.ndarray,
    batch: int,
    rows: np.ndarray,
    encoder: EncoderRuntime,
    kept: PartialFeatures,
    meter: _Meter,
) -> dict[str, float]:
    """Read and encode one batch, keep it in the journal, and return the seconds of each step."""
    begin = time.perf_counter()
    seconds = dict.fromkeys(STEPS, 0.0)
    side = reader.plan.tile_px
    tiles = np.empty((len(rows), side, side, 3), np.uint8)  # one piece of memory: eight small ones cost 2 % of all time
    read: list[int] = []
    for row in rows:
        start = time.perf_counter()
        try:
            region, box = reader.region(*corners[row])
        except UnreadableTile:
            continue
        middle = time.perf_counter()
        tiles[len(read)] = resample(region, box, side)
        read.append(row)
        seconds["read"] += middle - start
        seconds["resize"] += time.perf_counter() - middle
    start = time.perf_counter()
    features = encoder.encode(tiles[: len(read)]) if read else np.empty((0, encoder.encoder.dim), np.float32)  # (k, d)
    middle = time.perf_counter()
    kept.add(batch, rows=np.array(read, dtype=np.int64), features=features)
    seconds |= {"encode": middle - start, "write": time.perf_counter() - middle}
    meter.worked(time.perf_counter() - begin)
    return seconds


def _finish(job: _Job, encoder: EncoderRuntime, extraction: Extraction, meter: _Meter) -> dict[str, object]:
    try:
        row = _written(job, encoder, extraction)
    except BaseException:
        job.close()
        raise
    job.close(remove=True)
    row["seconds_wait"] = 0.0 if job.resumed else meter.idle()
    return row


def _written(job: _Job, encoder: EncoderRuntime, extraction: Extraction) -> dict[str, object]:
    row: dict[str, object] = {"slide_id": job.slide.slide_id, "status": "ok", "cause": "", "advice": ""}
    row |= {"n_tiles": len(job.slide.tiles), "n_encoded": len(job.chosen), "n_unreadable": 0, "resumed": job.resumed}
    row |= {"batches_resumed": job.batches_resumed, "n_resumed": job.tiles_resumed}
    row |= {f"seconds_{step}": 0.0 for step in STEPS}
    if job.resumed:
        return row
    seconds = [future.result() for future in job.batches]
    new = job.journal.rows() if job.journal is not None else np.empty(0, np.int64)
    rows = np.sort(np.concatenate([new, np.flatnonzero(job.kept >= 0)]))
    if job.fault is None and len(rows) == 0:
        job.fault = SlideFault(
            f"No tile of {job.slide.path.name} can be decoded.", "Copy the slide again from the scanner."
        )
    if job.fault is not None:
        job.path.unlink(missing_ok=True)
        failed = {"status": "failed", "cause": job.fault.cause, "advice": job.fault.advice}
        return row | failed | {"n_encoded": 0, "n_resumed": 0}
    start = time.perf_counter()
    write_features(
        job.path,
        features=_features(job),
        coords=_corners(job.chosen)[rows],
        tiles=job.chosen["tile"].to_numpy()[rows],
        attrs=file_attributes(job.slide, key=job.key, tile_key=job.tile_key, encoder=encoder, extraction=extraction),
        coords_attrs=coords_attributes(job.slide, extraction=extraction),
    )
    own = f"{glob.escape(job.slide.slide_id)}-{'[0-9a-f]' * 24}.journal"  # of S1, not of S1-b
    for stale in _work(job.path.parent).glob(own):
        if job.journal is None or stale != job.journal.path:
            stale.unlink(missing_ok=True)  # of other parameters or another file
    row |= {f"seconds_{step}": sum(batch[step] for batch in seconds) for step in STEPS}
    row["seconds_write"] = sum(batch["write"] for batch in seconds) + time.perf_counter() - start
    return row | {"n_encoded": len(rows), "n_unreadable": len(job.chosen) - len(rows)}


def _features(job: _Job) -> Iterator[np.ndarray]:
    """Features (k, d) in the order of the chosen tiles, those of the present file and those encoded now, in pieces."""
    old = np.flatnonzero(job.kept >= 0)
    at = 0
    for rows, features in job.journal.blocks() if job.journal is not None else ():
        if len(rows):
            before, behind = np.searchsorted(old, [rows[0], rows[-1]])
            yield from _copied(job, old[at:before])
            between = old[before:behind]
            order = np.argsort(np.concatenate([rows, between]))
            yield np.concatenate([features, *_copied(job, between)])[order]
            at = behind
    yield from _copied(job, old[at:])


def _copied(job: _Job, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Features of these chosen tiles from the present file."""
    for first in range(0, len(rows), PIECE):
        yield read_rows(job.path, job.kept[rows[first : first + PIECE]])
