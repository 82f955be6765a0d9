"""One page a patient: the risk and how sure it is, what drove it, and the tiles behind it. For study, not for care.

The page is one HTML file that needs no network and prints on one sheet of A4. How sure a risk is, is said in the only way
that can be checked: of so many patients with the most similar predicted risk, none of whom the asked networks had seen,
how many have had the event.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.incidence import at, curve
from sarcnet.compendium.files import atomic_path
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.interpret.explain.contributions import Explanation
from sarcnet.interpret.explain.tiles import SeenTile
from sarcnet.interpret.export.heatmap import HeatMap
from sarcnet.interpret.export.overlay import colour_limit, coloured

ALIKE, ALIKE_MIN = 40, 10  # patients of similar risk; at most half of all others, or they are not the similar ones
TILE_PX, MAP_PX = 150, 420
UNITS = {"age_years": "years", "size_mm": "mm"}
WARNING = "Not for clinical use."
STYLE = """
 @page { size: A4; margin: 12mm } * { box-sizing: border-box }
 body { font: 13px/1.35 system-ui, sans-serif; color: #222; max-width: 186mm; margin: 8px auto; padding: 0 8px }
 .warn { background: #8a3b00; color: #fff; font-weight: 600; padding: 4px 10px; border-radius: 4px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
 h1 { font-size: 19px; margin: 8px 0 2px } h2 { font-size: 14px; margin: 12px 0 4px } p { margin: 3px 0 }
 .risk { font-size: 30px; font-weight: 700 } .quiet { color: #666; font-size: 11.5px }
 table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: 1px 6px 1px 0; font-weight: 400 }
 th { color: #666 } td.n { text-align: right; font-variant-numeric: tabular-nums; width: 52px }
 td.bar { width: 46% } th.bar { text-align: center } .track { position: relative; height: 11px; background: #f1f1f1 }
 .track i { position: absolute; top: 0; bottom: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact }
 .track b { position: absolute; left: 50%; top: -1px; bottom: -1px; width: 1px; background: #444 }
 .row { display: flex; gap: 14px } .row > div { flex: 1 } .tiles { display: flex; flex-wrap: wrap; gap: 4px }
 figure { margin: 0 } .tiles figure { width: 23.5% } img { width: 100%; display: block }
 figcaption { font-size: 10.5px; color: #555 }
"""


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


@dataclass(frozen=True)
class Page:
    """Everything a page says.

    patient: row of `Explanation.patients`. recorded: clinical variables as the registry has them. clinical: variable,
    contribution. raised, lowered: tiles. heatmap: of the main slide, if there is one. true_risk: where patients are simulated.
    """

    patient: pd.Series
    recorded: Mapping[str, object]
    clinical: pd.DataFrame
    raised: Sequence[SeenTile]
    lowered: Sequence[SeenTile]
    heatmap: HeatMap | None
    alike: Alike | None
    kind: str
    model: str
    horizon_months: float
    level: float
    endpoint: Endpoint
    true_risk: float | None = None

    def html(self) -> str:
        """The page."""
        years = f"{self.horizon_months / 12:g}"
        who = escape(str(self.patient["patient_id"]))
        head = f"{self.kind.capitalize()} data. {WARNING}"
        parts = [
            f'<div class="warn">{escape(head)}</div>',
            f"<h1>Patient {who}, {escape(str(self.patient['centre']))}</h1>",
            f"<p>Predicted risk of {self.endpoint.event} within {years} years: "
            f'<span class="risk">{self.patient["risk"]:.0%}</span></p>',
            f"<p>{escape(self._certainty())}</p>",
            self._drivers(),
            self._pictures(),
            f'<p class="quiet">{escape(self._limits())}</p>',
            f'<div class="warn">{escape(head)}</div>',
        ]
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{who}</title>'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            f"style-src 'unsafe-inline'\"><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
        )

    def _certainty(self) -> str:
        if self.alike is None:
            said = "There are too few patients of similar risk to say how sure this is."
        else:
            a = self.alike
            said = (
                f"Of the {a.n} patients with the most similar predicted risk ({a.low_risk:.0%} to {a.high_risk:.0%}; out of "
                f"{a.of} others with a known outcome), {a.observed:.0%} {self.endpoint.had} by then "
                f"({self.level:.0%} interval {a.low:.0%} to {a.high:.0%})."
            )
        if self.true_risk is not None:
            said += f" This patient is simulated, so the true risk is known: {self.true_risk:.0%}."
        return said

    def _drivers(self) -> str:
        rows = [("slide", f"{int(self.patient['n_tiles'])} tiles", float(self.patient["image"]))]
        ordered = self.clinical.reindex(self.clinical["contribution"].abs().sort_values(ascending=False).index)
        rows += [
            (str(row.variable), self._value(str(row.variable)), float(row.contribution)) for row in ordered.itertuples()
        ]
        widest = max([abs(part) for _, _, part in rows] + [1e-9])
        lines = "".join(
            f"<tr><td>{escape(_plain(name))}</td><td>{escape(value)}</td><td class='bar'>{_bar(part / widest)}</td>"
            f"<td class='n'>{_signed(part)}</td></tr>"
            for name, value, part in rows
        )
        together = float(self.patient["score"]) - float(self.patient.get("start", 0.0))
        return (
            f"<h2>What drove it</h2><p class='quiet'>Against the average patient, whose risk is "
            f"{self.patient['baseline_risk']:.0%}; log-odds, they add up to {_signed(together)}.</p>"
            "<table><tr><th></th><th>recorded</th><th class='bar'>lowers the risk · raises it</th><th></th></tr>"
            f"{lines}</table>"
        )

    def _value(self, variable: str) -> str:
        value = self.recorded.get(variable)
        if value is None or pd.isna(value):  # type: ignore[call-overload]
            return "not recorded"
        text = f"{value:g}" if isinstance(value, (int, float, np.number)) else _plain(str(value))
        return f"{text} {UNITS.get(variable, '')}".strip()

    def _pictures(self) -> str:
        if self.heatmap is None:
            return (
                "<h2>Slide</h2><p>There is no slide that could be used; the risk rests on the clinical variables.</p>"
            )
        covered = Image.fromarray(self.heatmap.picture)
        colours = Image.fromarray(coloured(self.heatmap.values, limit=colour_limit(self.heatmap.values)))
        covered.paste(colours, mask=colours)
        covered.thumbnail((MAP_PX, MAP_PX), Image.Resampling.LANCZOS)
        blocks = "".join(
            f"<p>{title}</p><div class='tiles'>{''.join(_tile(item) for item in seen)}</div>"
            for title, seen in (("With the largest parts", self.raised), ("With the smallest", self.lowered))
            if seen
        )
        width_mm = self.heatmap.picture.shape[1] * float(self.heatmap.mpp) / 1000
        return (
            f"<div class='row'><div><h2>Slide</h2><figure><img src='{_data(covered)}' alt='slide with contributions'>"
            f"<figcaption>{width_mm:.1f} mm wide; red raises the risk, blue lowers it</figcaption></figure></div>"
            f"<div><h2>Tiles, {self._tile_um()}</h2>{blocks}</div></div>"
        )

    def _tile_um(self) -> str:
        sizes = {f"{item.tile_um:g} µm" for item in (*self.raised, *self.lowered)}
        return " and ".join(sorted(sizes)) or "none"

    def _limits(self) -> str:
        return (
            f"Model {self.model}; the risk is the mean of the networks that were not trained on this patient. A part says what "
            "moved the model, not what causes the disease to spread. What was not recorded counts as average."
        )


def make_pages(
    explained: Explanation,
    chosen: Sequence[str],
    *,
    registry: pd.DataFrame,
    maps: Mapping[str, HeatMap],
    see: Callable[[pd.DataFrame], Sequence[SeenTile]],
    true_risks: pd.Series | None,
    tiles_per_end: int = 4,
    **facts: Any,
) -> list[Page]:
    """Pages of some patients.

    Args:
        explained: all patients, taken apart.
        chosen: whose pages.
        registry: patients.csv with outcomes, of all explained patients.
        maps: heat map of the main slide by patient_id; patients without a slide have none.
        see: reads tiles, rows of `Explanation.tiles`.
        true_risks: by patient_id where patients are simulated.
        tiles_per_end: tiles that raise, and tiles that lower.
        facts: kind, model, horizon_months, level, endpoint, as in `Page`.
    """
    rows = registry.set_index("patient_id", drop=False)
    pages = []
    for _, patient in explained.patients[explained.patients["patient_id"].isin(chosen)].iterrows():
        who = str(patient["patient_id"])
        tiles = explained.tiles[explained.tiles["patient_id"] == who].sort_values("contribution", kind="stable")
        ends = tiles.tail(tiles_per_end).iloc[::-1], tiles.head(min(tiles_per_end, max(0, len(tiles) - tiles_per_end)))
        alike = patients_alike(
            explained.patients[["patient_id", "risk"]],
            registry[["patient_id", "centre", "mfs_months", "mfs_event"]],
            risk=float(patient["risk"]),
            horizon_months=facts["horizon_months"],
            level=facts["level"],
            apart=who,
        )
        pages.append(
            Page(
                patient,
                recorded=rows.loc[who].to_dict(),
                clinical=explained.clinical[explained.clinical["patient_id"] == who],
                raised=see(ends[0]),
                lowered=see(ends[1]),
                heatmap=maps.get(who),
                alike=alike,
                true_risk=None if true_risks is None else float(true_risks[who]),
                **facts,
            )
        )
    return pages


def write_pages(pages: Sequence[Page], *, folder: Path) -> list[Path]:
    """Write <patient_id>.html for each page, whole or not at all."""
    written = []
    for page in pages:
        path = folder / f"{page.patient['patient_id']}.html"
        with atomic_path(path) as part:
            part.write_text(page.html(), encoding="utf-8")
        written.append(path)
    return written


def _plain(name: str) -> str:
    for unit in ("_years", "_mm"):
        name = name.removesuffix(unit)
    return name.replace("fnclcc", "FNCLCC").replace("_", " ")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _bar(share: float) -> str:
    """A bar from the middle: share -1 to 1."""
    width = 50 * min(abs(share), 1.0)
    left = 50 if share >= 0 else 50 - width
    colour = "#b2182b" if share >= 0 else "#2166ac"
    return f"<div class='track'><i style='left:{left:.1f}%;width:{width:.1f}%;background:{colour}'></i><b></b></div>"


def _tile(item: SeenTile) -> str:
    if item.pixels is None:
        return "<figure><figcaption>unreadable</figcaption></figure>"
    picture = Image.fromarray(item.pixels).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    caption = _signed(float(item.row["contribution"]))
    return f"<figure><img src='{_data(picture)}' alt='tile'><figcaption>{caption}</figcaption></figure>"


def _data(picture: Image.Image) -> str:
    packed = io.BytesIO()
    picture.save(packed, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
