"""Can the morphometry be believed? `python -m studies.morphometry_validation.run --to runs/validation` measures it.

1. Nuclei outlined by people on real tissue (:mod:`studies.morphometry_validation.annotated_fields`): detection,
panoptic quality, relative
   errors of count and of mean area, at each picture's own scale and at that of the study's tiles.
2. Simulated slides, whose truth is known: agreement of each measure with the truth of the same tile, in each hospital.

Settings were chosen on the pictures called "chosen on"; only those "held out" are evidence. Written are report.md, tables
(CSV) and pictures of the best and the worst fields. Real pictures are looked for in the folder named by
SARCNET_SHARED_DATA, else in shared/data beside the repository; pictures made of them belong in a run's folder and not into
the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.figures import PICTURE_DPI, theme
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import resolve, shown
from sarcnet.compendium.seeds import rng
from sarcnet.morphometry.measure import MeasuredTile, measure_tile
from studies.morphometry_validation.annotated_fields import PARTS, KnownField, real_fields, real_folder, resampled
from studies.morphometry_validation.segmentation_metrics import centres_um, detection, outlines
from studies.morphometry_validation.simulated_tiles import agreement_with_truth, virtual_tiles

STUDY_UM_PER_PX = 0.5
NUMBERS = {
    "f1": "detection F1",
    "panoptic_quality": "panoptic quality",
    "count_error": "relative error of count",
    "area_error": "relative error of mean area",
}
SHOWN_AT_EACH_END = 4


def judged(known: KnownField) -> tuple[dict[str, object], MeasuredTile]:
    """One row of the table of fields, and what was measured.

    count_error, area_error: found over known, minus 1; area_error compares means over all nuclei of the field and is NaN when
    none was found.
    """
    tile = measure_tile(known.picture, mpp=known.mpp)
    truth, found = centres_um(known.labels, mpp=known.mpp), centres_um(tile.labels, mpp=known.mpp)
    centres, whole = detection(truth, found), outlines(known.labels, tile.labels)
    row = {
        "source": known.source,
        "name": known.name,
        "part": known.part,
        "um_per_px": round(known.mpp, 3),
        "known": len(truth),
        "found": len(found),
        "f1": centres.f1,
        "panoptic_quality": whole.panoptic_quality,
        "count_error": len(found) / len(truth) - 1,
        "area_error": found[:, 2].mean() / truth[:, 2].mean() - 1 if len(found) else np.nan,
    }
    return row, tile


def summary(fields: pd.DataFrame, *, samples: int, level: float, generator: np.random.Generator) -> pd.DataFrame:
    """Mean of each of NUMBERS over the fields of a source, part and scale, with an interval from resampling fields."""
    rows = []
    for key, own in fields.groupby(["source", "part", "scale"], sort=False):
        draws = generator.integers(len(own), size=(samples, len(own)))
        row: dict[str, object] = dict(zip(("source", "part", "scale"), key, strict=True))
        row |= {"fields": len(own), "nuclei": int(own["known"].sum())}
        for name in NUMBERS:
            values = own[name].to_numpy(float)
            means = np.nanmean(values[draws], axis=1)
            row[name] = np.nanmean(values)
            row[f"{name}_low"], row[f"{name}_high"] = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        rows.append(row)
    return pd.DataFrame(rows)


def judge_fields(known: Sequence[KnownField]) -> pd.DataFrame:
    """All fields at their own scale and, where that is finer, at STUDY_UM_PER_PX: columns of :func:`judged` and scale."""
    rows = []
    for item in known:
        rows.append(judged(item)[0] | {"scale": "own"})
        again = resampled(item, mpp=STUDY_UM_PER_PX) if item.mpp < STUDY_UM_PER_PX else item
        rows.append(judged(again)[0] | {"scale": f"{STUDY_UM_PER_PX:g} µm/px"})
    return pd.DataFrame(rows)


def draw_fields(known: Sequence[KnownField], *, title: str) -> Figure:
    """Fields with known outlines in green and those found in yellow; both best and worst by panoptic quality."""
    rated = sorted(
        ((judged(item), item) for item in known), key=lambda pair: -float(str(pair[0][0]["panoptic_quality"]))
    )
    count = min(SHOWN_AT_EACH_END, len(rated) // 2)
    rows = {"best": rated[:count], "worst": rated[len(rated) - count :]}
    figure, axes = plt.subplots(2, max(count, 1), figsize=(3.0 * max(count, 1), 6.4), squeeze=False)
    for line, (way, chosen) in zip(axes, rows.items(), strict=True):
        for ax, ((row, tile), item) in zip(line, chosen, strict=True):
            ax.imshow(outlined(item.picture, known=item.labels, found=tile.labels))
            ax.set_title(
                f"{way}: {row['source']}\nPQ {row['panoptic_quality']:.2f}, F1 {row['f1']:.2f}, "
                f"{row['known']} known, {row['found']} found",
                fontsize="x-small",
            )
            ax.plot([8, 8 + 20 / item.mpp], [item.picture.shape[0] - 10] * 2, color="black", linewidth=2.5)
            ax.axis("off")
    figure.suptitle(f"{title}: known in green, found in yellow, bar 20 µm", fontsize="medium")
    return figure


def outlined(picture: np.ndarray, *, known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) with the borders of both label pictures drawn in."""
    drawn = picture.copy()
    drawn[find_boundaries(known, mode="inner")] = (0, 210, 60)
    drawn[find_boundaries(found, mode="inner")] = (255, 225, 0)
    return drawn


def table_of(found: pd.DataFrame) -> str:
    """The summary as a Markdown table, intervals in brackets."""
    lines = ["| source | part | scale | fields | nuclei | " + " | ".join(NUMBERS.values()) + " |"]
    lines.append("|---|---|---|---|---|" + "---|" * len(NUMBERS))
    for row in found.to_dict("records"):
        cells = [str(row[name]) for name in ("source", "part", "scale", "fields", "nuclei")]
        for name in NUMBERS:
            sign = "+" if name.endswith("error") else ""
            value, low, high = (f"{row[key]:{sign}.2f}" for key in (name, f"{name}_low", f"{name}_high"))
            cells.append(f"{value} ({low} to {high})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def worst_of(fields: pd.DataFrame, *, count: int = 8) -> str:
    """The worst held-out fields at their own scale, as Markdown."""
    own = fields[(fields["part"] == PARTS[1]) & (fields["scale"] == "own")].sort_values("panoptic_quality").head(count)
    lines = [
        "| source | field | µm/px | known | found | detection F1 | panoptic quality |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.source} | {r.name_} | {r.um_per_px} | {r.known} | {r.found} | {r.f1:.2f} | {r.panoptic_quality:.2f} |"
        for r in own.rename(columns={"name": "name_"}).itertuples()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; 0 when something could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", default="runs/validation", help="folder of the report")
    parser.add_argument("--cohort", default="data/virtual_demo", help="folder of a simulated cohort with its truth")
    parser.add_argument("--tiles", type=int, default=3, help="tiles of each simulated slide")
    parser.add_argument("--samples", type=int, default=2000, help="resamples for the intervals")
    given = parser.parse_args(arguments)
    to, folder, cohort = resolve(given.to), real_folder(), resolve(given.cohort)
    to.mkdir(parents=True, exist_ok=True)
    theme()
    parts = ["# How far the morphometry can be believed\n"]
    known = real_fields(folder) if folder else []
    if known:
        parts += _real(known, to=to, samples=given.samples)
    else:
        parts.append("Real fields: left out, there are none; name their folder in SARCNET_SHARED_DATA.\n")
    if (cohort / "truth" / "slides").is_dir():
        parts += _virtual(cohort, to=to, tiles=given.tiles, samples=given.samples)
    else:
        parts.append(
            f"Simulated tiles: left out, {shown(cohort)} holds no truth; run notebook 00 or name another cohort.\n"
        )
    if len(parts) == 3 and "left out" in parts[1] and "left out" in parts[2]:
        raise SarcnetError("\n".join(parts[1:]))
    with atomic_path(to / "report.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    print("\n".join(parts) + f"\nWritten to {shown(to)}.")
    return 0


def _real(known: list[KnownField], *, to: Path, samples: int) -> list[str]:
    fields = judge_fields(known)
    found = summary(fields, samples=samples, level=0.95, generator=rng(0, "validation", "fields"))
    _write(fields, to / "fields.csv")
    _write(found, to / "fields_summary.csv")
    for part in PARTS:
        own = [item for item in known if item.part == part]
        _save(draw_fields(own, title=f"Real nuclei, {part}"), to / f"fields_{part.replace(' ', '_')}.png")
    note = "95 % intervals come from resampling fields. Settings were chosen on the part called so.\n"
    return ["## Real nuclei\n", table_of(found), "", note, "The worst held-out fields:\n", worst_of(fields), ""]


def _virtual(cohort: Path, *, to: Path, tiles: int, samples: int) -> list[str]:
    measured, classes = virtual_tiles(cohort, tiles_per_slide=tiles, generator=rng(0, "validation", "tiles"))
    found = agreement_with_truth(measured, samples=samples, level=0.95, generator=rng(0, "validation", "slides"))
    _write(measured, to / "virtual_tiles.csv")
    _write(found, to / "virtual_summary.csv")
    lines = [
        "| measure | part | hospital | tiles | rank correlation | median relative error |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.measure} | {r.part} | {r.centre} | {r.tiles} | {r.rho:.2f} ({r.low:.2f} to {r.high:.2f}) | {r.error:+.2f} |"
        for r in found.itertuples()
    ]
    recall = ", ".join(f"{name} {share:.0%} of {count:,}" for name, share, count in classes)
    return ["## Simulated tiles, against their truth\n", *lines, "", f"Nuclei found, held out, by class: {recall}.\n"]


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=PICTURE_DPI, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
