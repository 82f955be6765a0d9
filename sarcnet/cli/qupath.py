"""`sarcnet qupath`: any explained slide of a finished run for QuPath, and as a page to look at in a browser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.paths import shown
from sarcnet.compendium.study import Study
from sarcnet.interpret.export.heatmap import make_heatmap, on_one_scale
from sarcnet.interpret.export.qupath import write_slide_exports
from sarcnet.interpret.export.run_outputs import read_run_outputs
from sarcnet.interpret.export.viewer import FILE_BYTES, write_viewer
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
    outputs = read_run_outputs(run_dir)
    explained = set(outputs.tiles["slide_id"])
    faults = ErrorCollector()
    for slide_id in slide_ids:
        if slide_id not in explained:
            faults.add(
                f"{slide_id} has no explained tiles in {shown(run_dir)}, whose slides are like {min(explained)}."
            )
    faults.raise_if_any("The slides cannot be written")
    geometry = outputs.geometry(slide_ids)
    tiles = {slide_id: outputs.tiles[outputs.tiles["slide_id"] == slide_id] for slide_id in slide_ids}
    maps = [
        make_heatmap(own, file=outputs.files[slide_id], geometry=geometry[slide_id], title=slide_id)
        for slide_id, own in tiles.items()
    ]
    slides = write_slide_exports(
        into, on_one_scale(maps), tiles=outputs.tiles, files=outputs.files, geometry=geometry, nuclei_min=nuclei_min,
        true_nuclei=outputs.true_nuclei,
    )  # fmt: skip
    for slide_id, slide in zip(tiles, slides, strict=True):
        write_viewer(into / f"{slide_id}.html", slide, note=f"Data: {outputs.data_kind}", bytes_max=FILE_BYTES)
        print(f"{slide_id}: {count_status(slide.tiles)}")
    print(f"For QuPath, and as pages for a browser, in {shown(into)}.")
    return 0
