"""Encoding on many machines before notebook 02 runs: `python -m sarcnet.features.ahead PROFILE --part 3 --parts 20`.

Each part begins at another place of the list of slides and goes round it, so that parts seldom meet; where they do, a
lock lets one wait for the other. Any part may be stopped, repeated or left out: what is missing is done by the others
or by the notebook, which finds the rest finished. All parts see the same folder, runs/<profile>.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from sarcnet.compendium.faults import SarcnetError
from sarcnet.compendium.losses import WITH_LOSSES
from sarcnet.compendium.params import validated
from sarcnet.compendium.progress import track
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.features.encoders import encoder_named, resolution_notes
from sarcnet.features.extraction import Extraction, SlideTiles, extract_cohort, slides_to_encode
from sarcnet.features.runtime import runtime_for
from sarcnet.features.settings import FeaturesSettings

STAGE = "02_features"


def rotated(slides: Sequence[SlideTiles], *, part: int, parts: int) -> list[SlideTiles]:
    """All slides, begun at part/parts of the list."""
    start = len(slides) * part // parts
    return [*slides[start:], *slides[:start]]


def encode_ahead(profile: str, *, part: int, parts: int) -> pd.DataFrame:
    """Do notebook 02's encoding with the profile's parameters, beginning at `part` of `parts` (from 0).

    Returns:
        The report, one row a slide, as notebook 02 has it.

    Raises:
        SarcnetError: notebook 01 has not finished, or the parts make no sense.
    """
    if not 0 <= part < parts:
        raise SarcnetError(f"There is no part {part} of {parts}: parts are counted from 0 to {parts - 1}.")
    study = Study.load(profile)
    notebook = next(notebook for notebook in study.notebooks if notebook.name == STAGE)
    settings = validated(FeaturesSettings, study.parameters(notebook))
    stage = Stage(STAGE, settings)  # not opened: a finished stage stays finished
    report = pd.read_parquet(stage.input("01_tiling/slides.parquet")).query("status == 'ok'")
    tiles = pd.read_parquet(stage.input("01_tiling/tiles.parquet"))
    table = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
    slides = slides_to_encode(report, tiles, table, recorded=stage.inputs("00_cohort/slides/*/*"))
    tile_um, tile_px, mpp = report[["tile_um", "tile_px", "target_mpp"]].iloc[0]
    encoder = encoder_named(settings.encoder)
    for note in resolution_notes(encoder, tile_px=int(tile_px), mpp=mpp):
        print(note, file=sys.stderr)
    rows = extract_cohort(
        rotated(slides, part=part, parts=parts),
        encoder=runtime_for(encoder),
        extraction=Extraction.of(settings, tile_um=tile_um, tile_px=int(tile_px)),
        generator=lambda slide_id: stage.rng("tiles", slide_id),
        folder=stage.dir / "features",
        jobs=settings.jobs,
    )
    return pd.DataFrame(list(track(rows, total=len(slides), what="slides")))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit code 0, 3 when slides could not be used, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m sarcnet.features.ahead", description="Encode before notebook 02.")
    parser.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    parser.add_argument("--part", type=int, default=0, help="where this part begins, from 0")
    parser.add_argument("--parts", type=int, default=1, help="number of parts")
    options = parser.parse_args(arguments)
    try:
        report = encode_ahead(options.profile, part=options.part, parts=options.parts)
    except SarcnetError as error:
        print(f"sarcnet: {error}", file=sys.stderr)
        return 2
    failed = report[report["status"] == "failed"]
    for row in failed.itertuples():
        print(f"{row.slide_id}: {row.cause} {row.advice}", file=sys.stderr)
    print(f"{len(report) - len(failed)} slides are there, {len(failed)} failed")
    return WITH_LOSSES if len(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
