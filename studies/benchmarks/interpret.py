"""What does it cost to explain? `python -m studies.benchmarks.interpret`, or `make bench-interpret`, prints one table.

1. Morphometry: tiles of 224 px a second, by two processes, without reading them.
2. A heat map of a slide of 100,000 tiles, from its features in memory to a PNG: contributions by the study's 20 networks,
   each tile on its place over the picture of the slide, figure drawn. Noise stands for features, as their numbers do not
   change the time; a coarse picture of the same extent stands for the slide, whose overview comes from a coarse level too.
3. The viewer of that slide: the page made once, and how much longer than for an empty page it takes to start a browser
   without a window, open it and take its picture.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sarcnet.compendium.manifest import machine
from sarcnet.compendium.seeds import rng
from sarcnet.interpret.export.heatmap import make_heatmap
from sarcnet.interpret.export.pages import write_page
from sarcnet.interpret.export.viewer import make_page
from sarcnet.interpret.figures.tiles import draw_heatmaps
from sarcnet.model.crossval import make_members
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.predict import TrainedStack, contributions
from sarcnet.model.protocol import build_stack
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.reader.units import Mpp, TilePx, Um
from studies.bags import make_bags
from studies.benchmarks.crossval import study_protocol
from studies.benchmarks.morphometry import tiles_per_second
from virtual_cohort.rendering.pyramid import write_svs

TILES_PER_SECOND_MIN, HEATMAP_S_MAX, VIEWER_S_MAX = 40.0, 5.0, 2.0
SLIDE_TILES = 100_000
TILE_UM, COARSE_MPP = Um(112.0), Mpp(4.0)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")


@dataclass(frozen=True)
class Giant:
    """One patient with one slide: its file, the patient (tiles and features) and where the tiles lie."""

    file: Path
    patient: Patients
    geometry: TileGeometry


def giant(folder: Path, *, tiles: int, feature_dim: int) -> Giant:
    """A square slide of at least `tiles` places of 112 µm, pink noise, with `tiles` random features in rows."""
    side = math.isqrt(tiles - 1) + 1
    tile_px = round(TILE_UM / COARSE_MPP)
    generator = rng(0, "bench", "giant slide")
    stain = generator.integers(-30, 30, (side, side, 1)).repeat(tile_px, 0).repeat(tile_px, 1)
    file = folder / "giant.svs"
    picture = (np.array([205, 140, 185]) + stain).astype(np.uint8)
    write_svs(file, picture=picture, mpp=COARSE_MPP, quality=80, scanner_name="BENCH")
    table = pd.DataFrame({"patient_id": ["P"], "centre": ["CLB"], "size_mm": [80.0]})
    bags = make_bags({"P": generator.random((tiles, feature_dim), dtype=np.float32)})
    own = assemble_patients(table, bags=bags, clinical_variables=["size_mm"], hazard_edges_months=[60.0])
    place = np.arange(tiles)
    where = bags.tiles.assign(x_px=place % side * tile_px, y_px=place // side * tile_px)
    geometry = TileGeometry(COARSE_MPP, TILE_UM, TilePx(224))
    return Giant(file, replace(own, bags=replace(bags, tiles=where)), geometry)


def random_model(*, feature_dim: int) -> TrainedStack:
    """The study's 20 networks at random weights."""
    protocol = study_protocol(feature_dim=feature_dim)
    members = make_members("bench", folds=protocol.folds, repeats=protocol.repeats)
    network = build_stack(protocol, members=members)
    arrays = network.parameter_arrays()
    network.load_parameter_arrays(
        {name: rng(0, "bench", name).normal(0, 0.1, a.shape).astype(np.float32) for name, a in arrays.items()}
    )
    return TrainedStack(protocol, members, network)


def draw_map(model: TrainedStack, slide: Giant, *, to: Path) -> pd.DataFrame:
    """Features to PNG, the steps of notebook 06; the tiles with their contributions."""
    tiles = contributions(model, slide.patient).tiles
    drawn = make_heatmap(tiles, file=slide.file, geometry=slide.geometry, title="simulated noise")
    draw_heatmaps([drawn], horizon_months=60.0, points_per_log_odds=20.0).savefig(to)
    return tiles


def browser() -> str | None:
    """Program of a Chromium-like browser, or None."""
    return os.environ.get("SARCNET_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


def photograph(page: Path, *, program: str, to: Path) -> None:
    """Start a browser without a window, open the page, keep what is seen as PNG. Raises CalledProcessError."""
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    switches = [
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1200,900",
    ]
    profile = f"--user-data-dir={to.parent / 'profile'}"
    subprocess.run(
        [program, *switches, *root, profile, f"--screenshot={to}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=60,
    )


def measure(*, tiles: int = SLIDE_TILES, feature_dim: int = 1280, jobs: int = 2, measured: int = 400) -> pd.DataFrame:
    """All rows: what, value, unit, target, met (None where nothing is promised or no browser is there).

    Args:
        tiles: of the giant slide.
        feature_dim: length of a feature.
        jobs: processes of the morphometry.
        measured: tiles of the morphometry.
    """
    rows: list[tuple[str, float, str, str, bool | None]] = []
    speed = tiles_per_second(tiles=measured, jobs=jobs)
    rows.append((f"morphometry, {jobs} processes", speed, "tiles/s", f"≥ {TILES_PER_SECOND_MIN:g}",
                 speed >= TILES_PER_SECOND_MIN))  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, slide = random_model(feature_dim=feature_dim), giant(folder, tiles=tiles, feature_dim=feature_dim)
        found: list[pd.DataFrame] = []
        seconds = _seconds(lambda: found.append(draw_map(model, slide, to=folder / "map.png")))
        rows.append((f"heat map of {tiles:,} tiles", seconds, "s", f"≤ {HEATMAP_S_MAX:g}", seconds <= HEATMAP_S_MAX))
        limit = float(found[0]["contribution"].abs().quantile(0.98))
        page = folder / "viewer.html"
        seconds = _seconds(
            lambda: write_page(
                page,
                make_page(
                    found[0],
                    file=slide.file,
                    geometry=slide.geometry,
                    limit=limit,
                    title="noise",
                    note="Simulated data",
                ),
            )
        )
        rows.append((f"viewer: page of {tiles:,} tiles made", seconds, "s", "", None))
        program = browser()
        if program is None:
            rows.append(("viewer: no browser found (SARCNET_BROWSER names one)", math.nan, "s", "", None))
        else:
            empty = folder / "empty.html"
            empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
            photograph(empty, program=program, to=folder / "warm.png")  # the first start makes a profile
            start = _seconds(lambda: photograph(empty, program=program, to=folder / "empty.png"))
            seconds = _seconds(lambda: photograph(page, program=program, to=folder / "seen.png")) - start
            rows.append((f"viewer: first picture, beyond {start:.1f} s for an empty page", seconds, "s",
                         f"≤ {VIEWER_S_MAX:g}", seconds <= VIEWER_S_MAX))  # fmt: skip
    return pd.DataFrame(rows, columns=["what", "value", "unit", "target", "met"])


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the machine and the table as Markdown."""
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB\n")
    print("| explaining | measured | target | met |")
    print("|---|---|---|---|")
    for row in measure().itertuples():
        met = "" if row.met is None else "yes" if row.met else "no"
        print(f"| {row.what} | {row.value:.3g} {row.unit} | {row.target} | {met} |")


if __name__ == "__main__":
    main()
