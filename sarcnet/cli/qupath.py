"""`sarcnet qupath`: any explained slide of a finished run for QuPath, and as a page to look at in a browser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.paths import shown
from sarcnet.compendium.study import Study
from sarcnet.interpret.export.heatmap import make_heatmap
from sarcnet.interpret.export.overlay import colour_limit
from sarcnet.interpret.export.qupath import NUMBERS, write_slide
from sarcnet.interpret.export.run_outputs import read_finished
from sarcnet.interpret.export.viewer import FILE_BYTES, make_page, write_page
from sarcnet.morphometry.measure import count_status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_profile(parser)
    parser.add_argument("slides", nargs="+", metavar="SLIDE", help="slide_id, of the training series")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="folder that gets the files")
    parser.add_argument(
        "--nuclei-min", type=int, default=8, metavar="N", help="a tile needs for mean sizes (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the slides' files and pages."""
    run_dir = Study.load(options.profile).run_dir
    return run_qupath(run_dir, options.slides, into=options.into, nuclei_min=options.nuclei_min)


def run_qupath(run_dir: Path, slide_ids: Sequence[str], *, into: Path, nuclei_min: int) -> int:
    """Write each slide's GeoJSON, overlays and `<slide_id>.html` to `into`; all slides share one colour scale.

    Raises:
        SarcnetError: notebooks have not finished, or naming every slide that was not explained.
    """
    finished = read_finished(run_dir)
    explained = set(finished.tiles["slide_id"])
    faults = ErrorCollector()
    for slide_id in slide_ids:
        if slide_id not in explained:
            faults.add(
                f"{slide_id} has no explained tiles in {shown(run_dir)}, whose slides are like {min(explained)}."
            )
    faults.raise_if_any("The slides cannot be written")
    geometry = finished.geometry(set(slide_ids))
    own = {slide_id: finished.tiles[finished.tiles["slide_id"] == slide_id] for slide_id in slide_ids}
    maps = {
        slide_id: make_heatmap(tiles, file=finished.files[slide_id], geometry=geometry[slide_id], title=slide_id)
        for slide_id, tiles in own.items()
    }
    limit = colour_limit(*(item.values for item in maps.values()))
    for slide_id, tiles in own.items():
        file, place = finished.files[slide_id], geometry[slide_id]
        _, measured = write_slide(
            into, tiles, file=file, geometry=place, heatmap=maps[slide_id], limit=limit, nuclei_min=nuclei_min,
            truth=finished.true_nuclei.get(slide_id),
        )  # fmt: skip
        page = make_page(
            measured, file=file, geometry=place, limit=limit, title=slide_id, note=f"Data: {finished.data_kind}",
            columns=NUMBERS, bytes_max=FILE_BYTES,
        )  # fmt: skip
        write_page(into / f"{slide_id}.html", page)
        print(f"{slide_id}: {count_status(measured)}")
    print(f"For QuPath, and as pages for a browser, in {shown(into)}.")
    return 0
