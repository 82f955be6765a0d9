"""All slides of a cohort: one process a slide, finished slides taken up again, bad ones named while the rest goes
on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import pandas as pd
from PIL import Image

from sarcnet.compendium.faults import SarcnetError
from sarcnet.compendium.files import atomic_path, sha256
from sarcnet.compendium.paths import resolve
from sarcnet.slides import grid, opening, overview, quality, reading, thumbnail, tiling, tissue
from sarcnet.slides.identity import code_identity, file_identity, unit_key
from sarcnet.slides.opening import READ_ERRORS, SlideFault
from sarcnet.slides.tiling import REASONS, TileRules, tile_slide

_CODE = (grid, opening, overview, quality, reading, thumbnail, tiling, tissue)


@dataclass(frozen=True)
class SlideResult:
    """What became of one slide: its row of the report, its kept tiles (None when it failed), and whether it was
    done before.
    """

    slide_id: str
    report: dict[str, object]
    tiles: pd.DataFrame | None
    resumed: bool


@dataclass(frozen=True)
class _Place:
    """Where one slide's result lies: report and tiles under its key, the picture under its name for all to see."""

    report: Path
    tiles: Path
    overview: Path


def tile_cohort(
    slides: pd.DataFrame, *, files: Mapping[str, Path], rules: TileRules, work: Path, pictures: Path, jobs: int
) -> Iterator[SlideResult]:
    """Tile every slide, in the order of the table, yielding each as soon as it and those before it are done.

    Args:
        slides: rows with slide_id and mpp_override (NaN where the file shall speak).
        files: slide_id -> slide file.
        rules: the parameters.
        work: folder of finished slides; a slide whose key is there is not touched again.
        pictures: folder that gets `<slide_id>.png` of every slide that is ok.
        jobs: processes.
    """
    for folder in (work, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    overrides = [float(value) for value in slides["mpp_override"]]
    calls = (
        joblib.delayed(_tile_one)(slide_id, files[slide_id], rules, override, work, pictures)
        for slide_id, override in zip(slides["slide_id"], overrides, strict=True)
    )
    yield from joblib.Parallel(n_jobs=min(jobs, max(1, len(slides))), return_as="generator")(calls)


def slide_key(path: Path, *, rules: TileRules, mpp_override: float) -> str:
    """Key of one slide's result: the file, every rule, the override and the code."""
    return unit_key(
        {"file": file_identity(path), "rules": asdict(rules), "mpp": mpp_override, "code": code_identity(_CODE)}
    )


def _tile_one(slide_id: str, path: Path, rules: TileRules, override: float, work: Path, pictures: Path) -> SlideResult:
    key = slide_key(path, rules=rules, mpp_override=override)
    place = _Place(work / f"{slide_id}-{key}.json", work / f"{slide_id}-{key}.parquet", pictures / f"{slide_id}.png")
    if (done := _resume(slide_id, place)) is not None:
        return done
    place.overview.unlink(missing_ok=True)
    try:
        tiled = tile_slide(path, rules=rules, mpp_override=override)
    except SlideFault as fault:
        report: dict[str, object] = {"status": "failed", "cause": fault.cause, "advice": fault.advice}
        tiles = None
    except READ_ERRORS as error:
        cause = f"{path.name} stopped answering ({type(error).__name__}: {error})."
        advice = "The file is probably damaged: copy it again from the scanner and compare the sizes."
        report, tiles = {"status": "failed", "cause": cause, "advice": advice}, None
    else:
        tiles = tiled.tiles
        with atomic_path(place.tiles) as part:
            tiles.to_parquet(part, index=False)
        with atomic_path(place.overview) as part:
            tiled.overview.quantize(192, method=Image.Quantize.FASTOCTREE).save(part, format="PNG")
        report = {"status": "ok", "cause": "", "advice": "", **tiled.report, "picture_sha256": sha256(place.overview)}
    with atomic_path(place.report) as part:  # last: a report means that all the rest is there
        Path(part).write_text(json.dumps(_plain(report), indent=1, ensure_ascii=False), encoding="utf-8")
    return SlideResult(slide_id, _plain(report), tiles, resumed=False)


def _resume(slide_id: str, place: _Place) -> SlideResult | None:
    if not place.report.exists():
        return None
    report = json.loads(place.report.read_text(encoding="utf-8"))
    if report["status"] != "ok":
        place.overview.unlink(missing_ok=True)
        return SlideResult(slide_id, report, None, resumed=True)
    if not (place.tiles.exists() and place.overview.exists() and sha256(place.overview) == report["picture_sha256"]):
        return None
    return SlideResult(slide_id, report, pd.read_parquet(place.tiles), resumed=True)


def _plain(report: dict[str, object]) -> dict[str, object]:
    return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in report.items()}


COUNTS = ("n_candidates", "n_kept", *(f"n_rejected_{reason}" for reason in REASONS))


def report_table(results: list[SlideResult], slides: pd.DataFrame) -> pd.DataFrame:
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


def tile_table(results: list[SlideResult]) -> pd.DataFrame:
    """Kept tiles of all slides that are ok: slide_id, tile, x_px, y_px, size_px (level 0), shares and sharpness."""
    parts = [result.tiles.assign(slide_id=result.slide_id) for result in results if result.tiles is not None]
    if not parts:
        causes = "\n".join(f"- {result.slide_id}: {result.report['cause']}" for result in results[:10])
        raise SarcnetError(f"None of the {len(results)} slides could be tiled:\n{causes}")
    table = pd.concat(parts, ignore_index=True)
    return table[["slide_id", *[column for column in table.columns if column != "slide_id"]]]


def slide_files(slides: pd.DataFrame, *, recorded: Mapping[str, Path]) -> dict[str, Path]:
    """slide_id -> file. `recorded` are the files that notebook 00 vouches for ("slides/<centre>/<slide_id>" ->
    path); a file that was not there then is looked for where the table says, so that its absence is reported like
    any other fault of a slide.
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
