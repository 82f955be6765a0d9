"""One page per patient: the risk and how sure it is, what drove it, and the tiles behind it. For study, not for care.

The page is one HTML file that needs no network and prints on one sheet of A4. How sure a risk is, is said in the only way
that can be checked: of so many patients with the most similar predicted risk, none of whom the asked networks had seen,
how many have had the event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.incidence import at, curve
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.interpret.attribution.contributions import Explanation
from sarcnet.interpret.attribution.tiles import SeenTile, see_tiles
from sarcnet.interpret.export.heatmap import HeatMap, colour_limit, coloured
from sarcnet.interpret.export.pages import jpeg_url, render, write_page
from sarcnet.morphometry.geometry import TileGeometry

ALIKE, ALIKE_MIN = 40, 10  # patients of similar risk; at most half of all others, or they are not the similar ones
TILE_PX, MAP_PX, JPEG_QUALITY = 150, 420, 85
TILES_PER_END = 4  # shown of those that raise the risk, and of those that lower it
UNITS = {"age_years": "years", "size_mm": "mm"}


@dataclass(frozen=True)
class Alike:
    """Of the `n` patients out of `of` whose predicted risk, from `low_risk` to `high_risk`, is nearest: the share with
    metastasis and its interval.
    """

    n: int
    of: int
    low_risk: float
    high_risk: float
    observed: float
    low: float
    high: float


def patients_alike(
    risks: pd.DataFrame, outcomes: pd.DataFrame, *, risk: float, horizon_months: float, level: float, apart: str
) -> Alike | None:
    """What has become of those whose predicted risk is nearest to `risk`: ALIKE, or half of all others; None if
    that is fewer than ALIKE_MIN.

    Aalen and Johansen's incidence at the horizon, death competing.

    Args:
        risks: patient_id, risk: predicted by networks that had not seen the patient.
        outcomes: patient_id, centre, mfs_months, mfs_event.
        risk: the patient's own.
        horizon_months: of risk and incidence.
        level: of the interval.
        apart: patient_id of the patient, who is not counted.
    """
    others = risks.loc[risks["patient_id"] != apart, ["patient_id", "risk"]]
    joined = others.merge(outcomes, on="patient_id").dropna(subset=["mfs_months", "mfs_event"])
    gap = (joined["risk"] - risk).abs()
    near = joined.loc[gap.sort_values(kind="stable").index[: min(ALIKE, len(joined) // 2)]]
    if len(near) < ALIKE_MIN:
        return None
    found = at(curve(Followup.of(near), competing=True, level=level), horizon_months)
    ends = near["risk"].min(), near["risk"].max()
    return Alike(len(near), len(joined), *map(float, ends), *(float(found[name]) for name in ("risk", "low", "high")))


def write_patient_reports(
    folder: Path,
    explained: Explanation,
    patient_ids: Sequence[str],
    *,
    registry: pd.DataFrame,
    maps: Mapping[str, HeatMap],
    files: Mapping[str, Path],
    geometry: Mapping[str, TileGeometry],
    true_risks: pd.Series | None,
    data_kind: str,
    model: str,
    horizon_months: float,
    level: float,
    endpoint: Endpoint,
) -> list[Path]:
    """Write `<patient_id>.html` for some patients: risk, how sure it is, what drove it, slide and tiles, on one sheet.

    Args:
        folder: gets the pages.
        explained: all patients, their scores taken apart.
        patient_ids: whose pages.
        registry: patients.csv with outcomes, of all explained patients: patient_id, centre, clinical variables, mfs_months,
            mfs_event.
        maps: heat map of the main slide by patient_id; patients without a slide have none.
        files: slides by slide_id.
        geometry: where the tiles lie, by slide_id.
        true_risks: by patient_id where patients are simulated, else None.
        data_kind: "simulated", "public" or "private"; stands on top of each page.
        model: name of the explained model.
        horizon_months: of the predicted risk.
        level: of the interval of what happened to similar patients.
        endpoint: what the risk is a risk of.

    Returns:
        The paths, in the order of `explained`.

    Raises:
        SlideFault: a slide cannot be read.
    """
    recorded, outcomes = registry.set_index("patient_id"), registry[["patient_id", "mfs_months", "mfs_event", "centre"]]
    paths = []
    for _, patient in explained.patients[explained.patients["patient_id"].isin(patient_ids)].iterrows():
        patient_id = str(patient["patient_id"])
        tiles = explained.tiles[explained.tiles["patient_id"] == patient_id].sort_values("contribution", kind="stable")
        ends = {
            "With the largest parts": tiles.tail(TILES_PER_END).iloc[::-1],
            "With the smallest": tiles.head(min(TILES_PER_END, max(0, len(tiles) - TILES_PER_END))),
        }
        shown = {title: see_tiles(rows, files=files, geometry=geometry) for title, rows in ends.items()}
        alike = patients_alike(
            explained.patients[["patient_id", "risk"]], outcomes, risk=float(patient["risk"]),
            horizon_months=horizon_months, level=level, apart=patient_id,
        )  # fmt: skip
        clinical = explained.clinical[explained.clinical["patient_id"] == patient_id]
        page = render(
            "sarcnet.interpret.export", "patient_report.html", patient=patient.to_dict(), alike=alike, data_kind=data_kind,
            model=model, endpoint=endpoint, years=f"{horizon_months / 12:g}", level=level,
            true_risk=None if true_risks is None else true_risks[patient_id],
            parts=_parts(patient, clinical=clinical, recorded=recorded.loc[patient_id]),
            together=patient["score"] - patient.get("start", 0.0), slide=_slide(maps.get(patient_id)),
            tiles={title: [_tile(tile) for tile in seen] for title, seen in shown.items()},
            tile_um=" and ".join(sorted({f"{tile.tile_um:g} µm" for seen in shown.values() for tile in seen})) or "none",
            signed=lambda value: f"{value:+.2f}".replace("-", "−"), percent="{:.0%}".format,
        )  # fmt: skip
        paths.append(write_page(folder / f"{patient_id}.html", page))
    return paths


def _parts(patient: pd.Series, *, clinical: pd.DataFrame, recorded: pd.Series) -> list[tuple[str, str, float]]:
    """What added to the score, slide first, then by size: name, value as recorded, log-odds."""
    ordered = clinical.sort_values("contribution", key=lambda part: -part.abs(), kind="stable")
    variables = zip(ordered["variable"].astype(str), ordered["contribution"].astype(float), strict=True)
    return [
        ("slide", f"{int(patient['n_tiles'])} tiles", float(patient["image"])),
        *((_plain(name), _recorded(name, recorded.get(name)), part) for name, part in variables),
    ]


def _recorded(variable: str, value: object) -> str:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return "not recorded"
    text = f"{value:g}" if isinstance(value, (int, float, np.number)) else _plain(str(value))
    return f"{text} {UNITS.get(variable, '')}".strip()


def _plain(name: str) -> str:
    return re.sub("_(years|mm)$", "", name).replace("fnclcc", "FNCLCC").replace("_", " ")


def _slide(heatmap: HeatMap | None) -> dict[str, object] | None:
    """The slide under its colours, and its width."""
    if heatmap is None:
        return None
    covered = Image.fromarray(heatmap.picture)
    colours = Image.fromarray(coloured(heatmap.values, limit=colour_limit(heatmap.values)))
    covered.paste(colours, mask=colours)
    covered.thumbnail((MAP_PX, MAP_PX), Image.Resampling.LANCZOS)
    width_mm = heatmap.picture.shape[1] * heatmap.mpp / 1000
    return {"url": jpeg_url(covered, quality=JPEG_QUALITY), "width_mm": f"{width_mm:.1f}"}


def _tile(tile: SeenTile) -> tuple[str | None, float]:
    """The picture of a tile, if it can be read, and its contribution."""
    contribution = float(tile.row["contribution"])
    if tile.pixels is None:
        return None, contribution
    picture = Image.fromarray(tile.pixels).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    return jpeg_url(picture, quality=JPEG_QUALITY), contribution
