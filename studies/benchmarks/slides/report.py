"""The page of the slide benchmark: machine, what was compared, one table, what was promised and whether it was kept."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

from sarcnet.compendium.manifest import machine
from studies.benchmarks.slides.measurement import BATCH_TILES, JOBS, TOOLS, Measured, other_colours

CEILING_MIN, NAIVE_MIN, TISSUE_S_MAX = 0.90, 1.5, 2.0
LIBRARIES = ("openslide-python", "openslide-bin", "Pillow", "numpy", "onnxruntime", "pyvips-binary")
QUIET_CORES = 0.1  # taken by others, above which a measurement is called disturbed
MEASURED = {
    "tissue": "tissue + coordinates",
    "read_1": "reading on one thread",
    "read_2": "reading on two cores",
    "encoder": "the encoder alone",
    "end_to_end": "end to end",
    "tiling": "the whole of step 01",
}
HEAD = (
    "slide | tool | tissue + coordinates, s | tiles found | reading on one thread, tiles/s | × naive "
    "| on two cores, tiles/s | end to end, tiles/s | of the encoder alone | peak memory, MB"
)


def page(rows: list[Measured], *, slides: Mapping[str, Path], tiles: int, repeats: int, side_px: int) -> str:
    """Markdown of the whole page; `slides` names the files, of which only the last part is told."""
    about = machine()
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    pins = "; ".join(f"{t.name}: {', '.join(t.requirements)}" for t in TOOLS if t.requirements)
    real = (
        f"The real slide is {slides['real'].name}."
        if "real" in slides
        else "No real slide was given (`--real PATH`), so there are no rows of one."
    )
    parts = [
        "# From slide to features: how fast, beside other tools",
        "Written by `make bench-slides`, all rows measured in one run on one machine; by hand nothing is changed here.",
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, {about['system']}, Python "
        f"{platform.python_version()}. sarcnet and the naive loop: {libraries}. The others, each in an environment of "
        f"its own: {pins}.",
        f"The rendered slide has {side_px:,} × {side_px:,} px at 0.25 µm/px: one block of virtual tissue (simulated), "
        "4,096 px a side, laid edge to edge, mirrored every other time, framed by empty glass; tiled JPEG of quality 80, "
        "levels in steps of 2, so that 0.5 µm/px is a level of the file. Rendered ×4 is the same slide with levels in steps "
        f"of 4, as Aperio's scanners write at 40×: everyone has to start from level 0 and resample. {real}",
        f"Tiles of 112 µm on 224 px, the first {tiles:,} of the slide's tissue, row by row, the same for all. A slide that "
        "has fewer is read and encoded, by everybody, as often as it takes to get there, as a cohort of small slides, each "
        f"opened anew and with a file of its own. Each number is the median of {repeats} repeats, the slides in the system's "
        f"memory. The encoder is MobileNetV2 (ONNX Runtime), the same graph for all, {BATCH_TILES} tiles a "
        f"call, {JOBS} cores: sarcnet by {JOBS} threads that read and encode, the others by {JOBS} threads of the encoder "
        "and no helper processes, which was their fastest way. Reading on two cores is by threads in sarcnet and by its "
        "loader's processes in LazySlide, started anew for each slide. End to end includes what a tool does once a slide "
        "(opening, files, records), which weighs most where slides are small. Peak memory is that of the tool's process (and "
        "its largest helper), interpreter and libraries included.",
        "The naive loop reads level 0 at whatever resolution, rounds the tile to whole pixels and resizes with Pillow's usual "
        "filter; at 0.499 µm/px it has nothing to resize. The others read the level of 0.5 µm/px where there is one, a "
        "quarter of the pixels. Elsewhere sarcnet resamples to exactly 0.5 µm/px with a Lanczos filter.",
        "\n".join(_table(rows)),
        *_notes(rows),
        "## What was promised",
        "\n".join(_promises(rows)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[Measured]) -> list[str]:
    lines = [f"| {HEAD} |", "|---|---|" + "---:|" * 8]
    for row in rows:
        ceiling = _rate(rows, row.slide, "sarcnet", "encoder")
        if row.tool == "sarcnet" and ceiling:
            lines.append(f"| {row.slide} | the encoder alone | | | | | | {_number(ceiling)} | 1.00 | |")
        if row.failed:
            lines.append(f"| {row.slide} | {row.tool} | not measured: {_cell(row.failed)} | | | | | | | |")
            continue
        naive = _rate(rows, row.slide, "naive loop", "read_1")
        cells = [
            row.slide,
            f"{row.tool} {row.version}" if row.tool != "naive loop" else row.tool,
            _number(row.median_s("tissue"), 2),
            f"{row.counts['tissue']:,}" if "tissue" in row.counts else "–",
            _number(row.rate("read_1")),
            _number(_ratio(row.rate("read_1"), naive), 1),
            _number(row.rate("read_2")),
            _number(row.rate("end_to_end")),
            _number(_ratio(row.rate("end_to_end"), ceiling), 2),
            _number(row.peak_mb),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _notes(rows: list[Measured]) -> list[str]:
    notes = other_colours(rows)
    notes += [
        f"While {row.tool} was measured on the {row.slide} slide, other programs took {row.others_cores:.2f} of the machine's "
        "cores: its numbers are too low, and ratios with it are not to be trusted."
        for row in rows
        if row.others_cores > QUIET_CORES
    ]
    notes += [_bound(row) for row in rows if row.tool == "sarcnet" and row.rate("encoder") and row.rate("read_1")]
    for row in rows:
        for measure, why in row.why_not.items():
            note = f"{row.tool} has no number for {MEASURED[measure]}: {why}."
            if note not in notes:
                notes.append(note)
        seconds = row.median_s("tiling")
        if seconds:
            notes.append(
                f"On the {row.slide} slide, sarcnet's whole step 01, which also looks at each of the "
                f"{row.counts['tissue']:,} tiles for blur, pen, folds and blankness and draws the overview, takes "
                f"{seconds:.1f} s; that was not asked of the others."
            )
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _bound(row: Measured) -> str:
    """What is left for the encoder where reading takes its part of the same cores."""
    encoder_s, reader_s = JOBS / (row.rate("encoder") or 1.0), 1 / (row.rate("read_1") or 1.0)  # of a core, for a tile
    return (
        f"On the {row.slide} slide a tile takes {1000 * encoder_s:.1f} ms of a core in sarcnet's encoder and "
        f"{1000 * reader_s:.1f} ms in its reader, with its part of opening the slide. They share the cores, so end to end can "
        f"be no more than {encoder_s / (encoder_s + reader_s):.2f} of the encoder alone, before anything is written."
    )


def _promises(rows: list[Measured]) -> list[str]:
    lines = ["| slide | promised | measured | kept |", "|---|---|---:|---|"]
    for slide in dict.fromkeys(row.slide for row in rows):
        ours = _row(rows, slide, "sarcnet")
        if ours is None:
            continue
        naive = _rate(rows, slide, "naive loop", "read_1")
        share = _ratio(ours.rate("end_to_end"), ours.rate("encoder"))
        times = _ratio(ours.rate("read_1"), naive)
        promises = [
            (f"end to end ≥ {CEILING_MIN} of the encoder alone", share, CEILING_MIN),
            (f"reading on one thread ≥ {NAIVE_MIN} × the naive loop", times, NAIVE_MIN),
        ]
        for peer in rows:
            if peer.slide == slide and peer.tool not in ("sarcnet", "naive loop") and peer.rate("read_1"):
                ratio = _ratio(ours.rate("read_1"), peer.rate("read_1"))
                promises.append((f"reading on one thread ≥ {peer.tool}", ratio, 1.0))
        for promise, value, least in promises:
            kept = "not measured" if value is None else "yes" if value >= least else "no"
            lines.append(f"| {slide} | {promise} | {_number(value, 2)} | {kept} |")
        seconds = ours.median_s("tissue")
        kept = "not measured" if seconds is None else "yes" if seconds <= TISSUE_S_MAX else "no"
        lines.append(f"| {slide} | tissue + coordinates ≤ {TISSUE_S_MAX:g} s | {_number(seconds, 2)} | {kept} |")
    return lines


def _row(rows: list[Measured], slide: str, tool: str) -> Measured | None:
    return next((row for row in rows if (row.slide, row.tool) == (slide, tool) and not row.failed), None)


def _rate(rows: list[Measured], slide: str, tool: str, measure: str) -> float | None:
    row = _row(rows, slide, tool)
    return row.rate(measure) if row else None


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _cell(text: str) -> str:
    return text.replace("|", "/").rstrip(".")
