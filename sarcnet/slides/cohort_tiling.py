"""All slides of a cohort: one process a slide, finished slides taken up again, bad ones named while the rest goes
on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.paths import resolve
from sarcnet.slides.pool.crash_safe import MapFunction, WorkerCrash, map_isolated
from sarcnet.slides.reader.opening import SlideFault
from sarcnet.slides.slide_result import OutputDirs, SlideResult, failed, run_slide
from sarcnet.slides.tiling import REASONS, TileRules

SECONDS_MAX = 3600.0
"""A slide that takes longer hangs: the largest take minutes."""


def tile_cohort(
    slides: pd.DataFrame,
    *,
    files: Mapping[str, Path],
    rules: TileRules,
    work: Path,
    pictures: Path,
    jobs: int,
    seconds_max: float = SECONDS_MAX,
    spread: MapFunction = map_isolated,
) -> Iterator[SlideResult]:
    """Tile every slide, in the order of the table, yielding each as soon as it and those before it are done.

    A slide that ends the process which decodes it, or never comes back, is reported like any other failure.

    Args:
        slides: rows with slide_id, centre and mpp_override (NaN where the file shall speak).
        files: slide_id -> slide file.
        rules: the parameters.
        work: folder of finished slides; a slide whose key is there is not touched again.
        pictures: folder that gets `<slide_id>.png` of every slide that is ok.
        jobs: processes; 0 works in this one, without protection.
        seconds_max: a slide that takes longer is given up.
        spread: over the processes of this machine, or over other machines, see :mod:`sarcnet.slides.pool.cluster`.

    Yields:
        Report and tiles of each slide.
    """
    for folder in (work, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    rows = zip(slides["slide_id"], slides["centre"], slides["mpp_override"], strict=True)
    tasks = [
        (slide_id, files[slide_id], home_of(files[slide_id], centre), rules, float(mpp), OutputDirs(work, pictures))
        for slide_id, centre, mpp in rows
    ]
    results = spread(run_slide, tasks, jobs=jobs, seconds_max=seconds_max)
    for (slide_id, path, *_), result in zip(tasks, results, strict=True):
        if isinstance(result, WorkerCrash):
            (pictures / f"{slide_id}.png").unlink(missing_ok=True)
            yield SlideResult(slide_id, failed(fault_of(path, result, seconds_max)), None, resumed=False)
        else:
            yield result


def home_of(path: Path, centre: str) -> Path | None:
    """The hospital's folder, which a slide must lie in: the nearest above it that carries the hospital's name."""
    return next((folder for folder in path.parents if folder.name == centre), None)


def fault_of(path: Path, lost: WorkerCrash, seconds_max: float) -> SlideFault:
    """Cause and advice for a slide whose process was lost."""
    said = f": {lost.last_words}" if lost.last_words else ""
    if lost.overran:
        return SlideFault(
            f"{path.name} took longer than {seconds_max:g} s{said}.",
            "Its storage may not answer, or the file is damaged so that decoding never ends: copy it to a local disk.",
        )
    return SlideFault(
        f"{path.name} ended the process that decodes it ({lost.how}{said}).",
        "SIGKILL usually means too little memory: set jobs to 1 and try again. Any other signal means a damaged file: "
        "copy it again from the scanner and compare the sizes.",
    )


COUNTS = ("n_candidates", "n_kept", *(f"n_rejected_{reason}" for reason in REASONS))


@dataclass(frozen=True)
class TiledCohort:
    """Tables of all slides.

    Attributes:
        report: one row per slide, see :func:`report_table`.
        tiles: one row per kept tile, see :func:`tile_table`.
        text: the report in one sentence.
    """

    report: pd.DataFrame
    tiles: pd.DataFrame
    text: str


def tabulate(results: Sequence[SlideResult], slides: pd.DataFrame) -> TiledCohort:
    """Tables and a summary of what :func:`tile_cohort` yielded.

    Args:
        results: report and tiles of each slide.
        slides: rows with slide_id, patient_id and centre.

    Returns:
        The report of the slides, the kept tiles and a sentence.

    Raises:
        SarcnetError: no slide could be tiled; names the causes.
    """
    report = report_table(results, slides)
    return TiledCohort(report, tile_table(results), sentence_of(report))


def report_table(results: Sequence[SlideResult], slides: pd.DataFrame) -> pd.DataFrame:
    """One row a slide: who it is, ok or failed with cause and advice, µm/px and its source, tissue, counts,
    seconds.
    """
    found = pd.DataFrame([{"slide_id": result.slide_id, **result.report} for result in results])
    order = ["status", "cause", "advice", "mpp", "mpp_source", "objective_power", "format", "width_px", "height_px"]
    columns = [*order, "tissue_mm2", *COUNTS]
    rest = [column for column in found.columns if column not in {"slide_id", "picture_sha256", *columns}]
    table = slides[["slide_id", "patient_id", "centre"]].merge(found, on="slide_id", validate="one_to_one")
    table = table.reindex(columns=["slide_id", "patient_id", "centre", *columns, *rest])
    table[list(COUNTS)] = table[list(COUNTS)].fillna(0).astype("int64")
    numbers = ["mpp", "objective_power", "width_px", "height_px", "tissue_mm2"]
    table[numbers] = table[numbers].astype("float64")
    return table


def tile_table(results: Sequence[SlideResult]) -> pd.DataFrame:
    """Kept tiles of all slides that are ok: slide_id, tile, x_px, y_px, size_px (level 0), shares and sharpness."""
    parts = [
        pd.DataFrame(dict(result.columns)).assign(slide_id=result.slide_id)
        for result in results
        if result.columns is not None
    ]
    if not parts:
        causes = "\n".join(f"- {result.slide_id}: {result.report['cause']}" for result in results[:10])
        raise SarcnetError(f"None of the {len(results)} slides could be tiled:\n{causes}")
    table = pd.concat(parts, ignore_index=True)
    return table[["slide_id", *[column for column in table.columns if column != "slide_id"]]]


def slide_files(slides: pd.DataFrame, *, recorded: Mapping[str, Path]) -> dict[str, Path]:
    """The file of each slide.

    A file that notebook 00 did not record is looked for where the table says, so that its absence is reported like any
    other fault of a slide.

    Args:
        slides: rows with slide_id and file.
        recorded: files that notebook 00 recorded, "slides/<centre>/<slide_id>" -> path.

    Returns:
        slide_id -> file.
    """
    known = {name.rsplit("/", 1)[-1]: path for name, path in recorded.items()}
    return {
        slide_id: known.get(slide_id, resolve(file))
        for slide_id, file in zip(slides["slide_id"], slides["file"], strict=True)
    }


def sentence_of(report: pd.DataFrame) -> str:
    """The whole report in one sentence, for a reader in a hurry."""
    ok = report[report["status"] == "ok"]
    failed = len(report) - len(ok)
    return (
        f"{len(ok)} of {len(report)} slides gave {ok['n_kept'].sum():,} tiles "
        f"({ok['tissue_mm2'].sum():,.1f} mm² of tissue); "
        + (f"{failed} failed, named below." if failed else "none failed.")
    )
