"""One slide from file to tiles: open, find tissue, lay the grid, look at each tile, count why tiles are left out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sarcnet.slides.overview import draw_overview, overview_mpp
from sarcnet.slides.quality import QUALITY_MPP, blank_share, sharpness
from sarcnet.slides.reader.grid import Grid, share_inside, tile_grid
from sarcnet.slides.reader.opening import SlideFault, SlideInfo, open_slide
from sarcnet.slides.reader.pyramid import check_pyramid
from sarcnet.slides.reader.reading import ReadPlan, TileReader, UnreadableTile, plan
from sarcnet.slides.reader.thumbnail import Thumbnail, read_thumbnail, reduced
from sarcnet.slides.reader.units import Level0Px, Mpp, TilePx, Um
from sarcnet.slides.tissue import TissueMask, find_tissue

if TYPE_CHECKING:
    import pandas as pd

    from sarcnet.slides.settings import TilingSettings

REASONS = ("background", "pen", "fold", "unreadable", "blank", "blurred")
"""Why a tile is left out, in the order in which it is asked."""
SCORES = ("tissue_share", "pen_share", "fold_share", "blank_share", "sharpness")


@dataclass(frozen=True)
class TileRules:
    """The parameters of notebook 01 that shape the tiles; each is part of the key under which a slide's result is
    kept.
    """

    tile_um: float
    tile_px: int
    thumbnail_um_per_px: float
    tissue_share_min: float
    pen_share_max: float
    fold_share_max: float
    blank_share_max: float
    sharpness_min: float
    unreadable_share_max: float

    @classmethod
    def of(cls, settings: TilingSettings) -> TileRules:
        """The rules among a notebook's settings."""
        return cls(*(getattr(settings, field.name) for field in fields(cls)))


@dataclass(frozen=True)
class TiledSlide:
    """`report`: one row's worth of facts. `columns`: the kept tiles, each (n,). `overview`: picture with outline, grid
    and scale bar.
    """

    report: dict[str, object]
    columns: Mapping[str, np.ndarray]
    overview: Image.Image

    @property
    def tiles(self) -> pd.DataFrame:
        """The kept tiles as a table."""
        import pandas as pd  # not at the top: half of the time that a worker takes to start

        return pd.DataFrame(dict(self.columns))


def tile_slide(path: Path, *, rules: TileRules, mpp_override: float = math.nan) -> TiledSlide:
    """Everything notebook 01 does with one slide.

    Raises:
        SlideFault: the slide cannot be used; cause and advice stand in it.
    """
    clock = Stopwatch()
    handle, info = open_slide(path, mpp_override=mpp_override)
    read_plan = plan(info, tile_um=Um(rules.tile_um), tile_px=TilePx(rules.tile_px))
    glance = plan(info, tile_um=Um(rules.tile_um), tile_px=TilePx(max(16, round(rules.tile_um / QUALITY_MPP))))
    with TileReader(handle, info, glance) as reader:
        grid = tile_grid(info, size_px=read_plan.size_px)
        if not len(grid.x_px):
            raise SlideFault(
                f"{path.name} is smaller than one tile of {rules.tile_um:g} µm.",
                "Export the whole slide, or check the micrometres per pixel that it states.",
            )
        clock.lap("open")
        picture = read_thumbnail(info, mpp=Mpp(min(rules.thumbnail_um_per_px, overview_mpp(info))))
        thumbnail = reduced(picture, mpp=Mpp(rules.thumbnail_um_per_px))
        clock.lap("thumbnail")
        mask = find_tissue(thumbnail)
        if not mask.tissue.any():
            raise SlideFault(
                f"No tissue on {path.name}: nothing on its thumbnail is stained "
                f"(optical density of {mask.seed:.2f} or more).",
                "Look at the slide: it may be blank, faded, or a fluorescence scan.",
            )
        clock.lap("tissue")
        reasons, scores = _judge(reader, grid, mask, thumbnail, rules)
        clock.lap("tiles")
        check_pyramid(info, read_plan, thumbnail, grid, kept=np.flatnonzero(reasons == ""))
        clock.lap("check")
        overview = draw_overview(picture, info, mask=mask, scale=thumbnail.scale, grid=grid, reasons=reasons)
        clock.lap("picture")
    counts = {reason: int((reasons == reason).sum()) for reason in REASONS}
    _refuse_if_hopeless(path, counts, rules, n=len(reasons))
    kept = reasons == ""
    columns = {"tile": np.arange(len(reasons)), "x_px": grid.x_px, "y_px": grid.y_px}
    columns |= {"size_px": np.full(len(reasons), float(grid.size_px))}
    columns |= dict(zip(SCORES, scores.T, strict=True))
    mm2 = float(mask.tissue.sum()) * (thumbnail.mpp / 1000) ** 2
    report: dict[str, object] = {
        **_facts(info, read_plan),
        "tissue_mm2": mm2,
        "tissue_seed_od": mask.seed,
        "tissue_threshold_od": mask.threshold,
        "n_candidates": len(reasons),
        "n_kept": int(kept.sum()),
        **{f"n_rejected_{reason}": count for reason, count in counts.items()},
        **{f"seconds_{step}": seconds for step, seconds in clock.laps.items()},
    }
    return TiledSlide(report, {name: values[kept] for name, values in columns.items()}, overview)


def _judge(
    reader: TileReader, grid: Grid, mask: TissueMask, thumbnail: Thumbnail, rules: TileRules
) -> tuple[np.ndarray, np.ndarray]:
    """Reason for leaving out each tile ("" where kept), and (n, 5) scores, see SCORES.

    Where the thumbnail could not be decoded there may be tissue: such tiles are tried, so that damage is counted as
    damage.
    """
    n = len(grid.x_px)
    reasons = np.full(n, "", dtype=object)
    scores = np.full((n, len(SCORES)), np.nan)
    scores[:, 0] = share_inside(mask.tissue | ~thumbnail.readable, grid=grid, scale=thumbnail.scale)
    scores[:, 1] = share_inside(mask.pen, grid=grid, scale=thumbnail.scale)
    scores[:, 2] = share_inside(mask.fold, grid=grid, scale=thumbnail.scale)
    reasons[scores[:, 2] > rules.fold_share_max] = "fold"
    reasons[scores[:, 1] > rules.pen_share_max] = "pen"
    reasons[scores[:, 0] < rules.tissue_share_min] = "background"
    for k in np.flatnonzero(reasons == ""):
        try:
            tile = reader.tile(Level0Px(float(grid.x_px[k])), Level0Px(float(grid.y_px[k])))
        except UnreadableTile:
            reasons[k] = "unreadable"
            continue
        scores[k, 3], scores[k, 4] = blank_share(tile, glass=mask.glass), sharpness(tile)
        if scores[k, 3] > rules.blank_share_max:
            reasons[k] = "blank"
        elif scores[k, 4] < rules.sharpness_min:
            reasons[k] = "blurred"
    return reasons, scores


def _refuse_if_hopeless(path: Path, counts: dict[str, int], rules: TileRules, *, n: int) -> None:
    tried = n - counts["background"] - counts["pen"] - counts["fold"]
    if counts["unreadable"] > rules.unreadable_share_max * max(tried, 1):
        raise SlideFault(
            f"{counts['unreadable']} of {tried} tissue tiles of {path.name} cannot be decoded.",
            "The file is damaged or truncated: copy it again from the scanner and compare the sizes.",
        )
    left_out = sum(counts.values())
    if left_out == n:
        found = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
        raise SlideFault(
            f"No tile of {path.name} passes ({found}).",
            "Look at the slide; if its tissue is good, lower tissue_share_min or sharpness_min in the parameters file.",
        )


def _facts(info: SlideInfo, read_plan: ReadPlan) -> dict[str, object]:
    facts = asdict(info)
    return {key: facts[key] for key in ("format", "width_px", "height_px", "mpp", "mpp_source", "objective_power")} | {
        "tile_um": read_plan.tile_um,
        "tile_px": read_plan.tile_px,
        "target_mpp": read_plan.target_mpp,
        "realised_mpp": read_plan.size_px * info.mpp / read_plan.tile_px,
        "tile_size_px": read_plan.size_px,
        "level": read_plan.level,
        "level_mpp": read_plan.level_mpp,
        "resample_ratio": read_plan.ratio,
    }


class Stopwatch:
    """Seconds between laps, by name; they go into the report and never into a result."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
