"""One slide's result on disk: its report, its kept tiles, its picture; made once, taken up again, never half there.

Every file is written under another name and renamed, the report last: a report means that all the rest is there.
Two processes on the same slide do the work twice and leave the same bytes.
"""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from sarcnet.compendium.cache_keys import code_key, file_key, time_stamps, unit_key
from sarcnet.compendium.files import atomic_path, sha256
from sarcnet.slides.reader import resampling
from sarcnet.slides.reader.opening import READ_ERRORS, SlideFault, require_inside, without_folder
from sarcnet.slides.tiling import TiledSlide, TileRules, tile_slide

CODE = ("sarcnet.slides.slide_result",)  # what makes the tiles of a slide, with all that it imports
PALETTE_COLOURS = 192
PNG_EFFORT = 1  # of 9; 6, the usual, takes three times as long for 5 % less


@dataclass(frozen=True)
class OutputDirs:
    """Where slides' results lie: `work` holds reports and tiles under their keys, `pictures` one PNG a slide under
    its name, for all to see.
    """

    work: Path
    pictures: Path


@dataclass(frozen=True)
class SlideResult:
    """What became of one slide: its row of the report, its kept tiles by column (None when it failed), and whether
    it was done before.
    """

    slide_id: str
    report: dict[str, object]
    columns: Mapping[str, np.ndarray] | None
    resumed: bool


def slide_key(path: Path, *, rules: TileRules, mpp_override: float) -> str:
    """Key of one slide's result: the contents of the file, every rule, the override and the code."""
    return unit_key(
        {
            "file": file_key(path),
            "rules": asdict(rules),
            "mpp": mpp_override,
            "resampled_by": resampling.RESAMPLED_BY,
            "code": code_key(*CODE),
        }
    )


def run_slide(
    slide_id: str, path: Path, home: Path | None, rules: TileRules, mpp_override: float, place: OutputDirs
) -> SlideResult:
    """Tile one slide, or take up what was done. A slide that cannot be used has status "failed", cause and advice.

    Args:
        slide_id: its name.
        path: the slide file.
        home: folder that the file must lie in, links followed; None where there is no such folder.
        rules: the parameters.
        mpp_override: µm/px from slides.csv, or NaN.
        place: where the result goes.
    """
    try:
        require_inside(path, home)
    except SlideFault as fault:
        (place.pictures / f"{slide_id}.png").unlink(missing_ok=True)
        return SlideResult(slide_id, failed(fault), None, resumed=False)
    unit = place.work / f"{slide_id}-{slide_key(path, rules=rules, mpp_override=mpp_override)}"
    picture = place.pictures / f"{slide_id}.png"
    stamps = time_stamps(path)
    if (done := _resumed(slide_id, unit, picture, stamps)) is not None:
        return done
    picture.unlink(missing_ok=True)
    report, columns = _attempt(path, rules, mpp_override, unit, picture)
    with atomic_path(_report_of(unit)) as part:
        kept = {"report": report, "time_stamps": stamps}
        part.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    return SlideResult(slide_id, report, columns, resumed=False)


def failed(fault: SlideFault) -> dict[str, object]:
    """The report of a slide that cannot be used."""
    return {"status": "failed", "cause": fault.cause, "advice": fault.advice}


def _attempt(
    path: Path, rules: TileRules, mpp_override: float, unit: Path, picture: Path
) -> tuple[dict[str, object], Mapping[str, np.ndarray] | None]:
    try:
        tiled = tile_slide(path, rules=rules, mpp_override=mpp_override)
    except SlideFault as fault:
        return failed(fault), None
    except PermissionError as error:
        return failed(_not_allowed(path, error)), None
    except READ_ERRORS as error:
        return failed(_stopped_answering(path, error)), None
    except Exception as error:
        return failed(_unforeseen(path, error)), None
    start = time.perf_counter()
    report = _write(tiled, unit, picture)
    return report | {"seconds_write": time.perf_counter() - start}, tiled.columns


def _write(tiled: TiledSlide, unit: Path, picture: Path) -> dict[str, object]:
    with atomic_path(_tiles_of(unit)) as part, part.open("wb") as file:
        np.savez(file, **tiled.columns)  # type: ignore[arg-type]
    with atomic_path(picture) as part:
        tiled.overview.quantize(PALETTE_COLOURS, method=Image.Quantize.FASTOCTREE).save(
            part, format="PNG", compress_level=PNG_EFFORT
        )
    plain = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in tiled.report.items()}
    return {"status": "ok", "cause": "", "advice": "", **plain, "picture_sha256": sha256(picture)}


def _resumed(slide_id: str, unit: Path, picture: Path, stamps: list[int]) -> SlideResult | None:
    """What was done, unless the file was damaged then and its time stamps are others now: a copy that was repaired in
    the middle has the same key."""
    try:
        kept = json.loads(_report_of(unit).read_text(encoding="utf-8"))
        report = kept["report"]
        damaged = report["status"] != "ok" or report["n_rejected_unreadable"] > 0
        if damaged and kept["time_stamps"] != stamps:
            return None
        if report["status"] != "ok":
            picture.unlink(missing_ok=True)
            return SlideResult(slide_id, report, None, resumed=True)
        if sha256(picture) != report["picture_sha256"]:
            return None
        with np.load(_tiles_of(unit), allow_pickle=False) as columns:
            return SlideResult(slide_id, report, dict(columns), resumed=True)
    except (OSError, ValueError, KeyError, TypeError, EOFError):  # missing or incomplete: computed again
        return None


def _report_of(unit: Path) -> Path:
    return unit.with_name(unit.name + ".json")


def _tiles_of(unit: Path) -> Path:
    return unit.with_name(unit.name + ".npz")


def _not_allowed(path: Path, error: PermissionError) -> SlideFault:
    """The file's own right is asked when it is opened; here a folder on the way to it is closed."""
    return SlideFault(
        f"{path.name} may not be reached ({error.strerror}): a folder above it, such as {path.parent.name}, is closed.",
        "Give the user who runs sarcnet the right to enter the folders that lead to it (on Unix the x).",
    )


def _stopped_answering(path: Path, error: Exception) -> SlideFault:
    return SlideFault(
        f"{path.name} stopped answering ({type(error).__name__}: {without_folder(error, path)}).",
        "The file is probably damaged: copy it again from the scanner and compare the sizes.",
    )


def _unforeseen(path: Path, error: Exception) -> SlideFault:
    """Whatever a damaged header leads to: named with its place in the code, so that a fault of ours is found."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if Path(last.filename).parent.name == openslide.__name__:  # a property whose name is no text, for example
        return SlideFault(
            f"The header of {path.name} holds what OpenSlide cannot tell ({type(error).__name__}).",
            "The file is probably damaged: copy it again from the scanner and compare the sizes.",
        )
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return SlideFault(
        f"{path.name} could not be tiled ({type(error).__name__}: {without_folder(error, path)}; {where}).",
        "Open it in a slide viewer. If it looks damaged there too, copy it again; if not, please report this line.",
    )
