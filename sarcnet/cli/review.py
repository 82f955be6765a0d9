"""`sarcnet review export` writes a sheet from a finished run, `sarcnet review import` reads what the pathologists sent."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sarcnet.cli.arguments import add_actions, add_profile
from sarcnet.compendium import seeds
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import shown
from sarcnet.compendium.study import Study
from sarcnet.interpret.export.run_outputs import read_run_outputs
from sarcnet.interpret.review.analysis import analyse_answers
from sarcnet.interpret.review.parse import read_answers
from sarcnet.interpret.review.sheet import write_review


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two actions and their options."""
    actions = add_actions(parser)
    export = actions.add_parser("export", help="write a blinded sheet from a finished run")
    add_profile(export)
    export.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="gets for_pathologists/ and key.csv")
    for name, count, text in (
        ("tiles", 60, "tiles"),
        ("repeats", 12, "tiles seen twice"),
        ("checks", 2, "attention checks"),
        ("patient-tiles-max", 2, "of one patient"),
    ):
        export.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"{text} (default: %(default)s)")
    export.add_argument("--seed", type=int, required=True, help="keep it to yourself: it decides codes and order")
    export.set_defaults(run=export_sheet)
    reading = actions.add_parser("import", help="check filled sheets, and say what pathologists agree on and see")
    reading.add_argument("key", type=Path, help="key.csv of the review")
    reading.add_argument("sheets", type=Path, nargs="+", help="filled tables, one per pathologist")
    reading.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="folder that gets the tables")
    reading.add_argument("--bootstrap-samples", type=int, default=2000, metavar="N", help="default: %(default)s")
    reading.add_argument("--interval-level", type=float, default=0.95, metavar="SHARE", help="default: %(default)s")
    reading.add_argument("--seed", type=int, default=2025, help="of the resamples (default: %(default)s)")
    reading.set_defaults(run=import_sheets)


def export_sheet(options: argparse.Namespace) -> int:
    """`sarcnet review export`."""
    names = ("into", "tiles", "repeats", "checks", "patient_tiles_max", "seed")
    return run_export(Study.load(options.profile).run_dir, **{name: getattr(options, name) for name in names})


def import_sheets(options: argparse.Namespace) -> int:
    """`sarcnet review import`."""
    bootstrap = {"samples": options.bootstrap_samples, "level": options.interval_level, "seed": options.seed}
    return run_import(options.key, options.sheets, into=options.into, **bootstrap)


def run_export(
    run_dir: Path, *, into: Path, tiles: int, repeats: int, checks: int, patient_tiles_max: int, seed: int
) -> int:
    """Write `into`/for_pathologists and `into`/key.csv from the contributions that notebook 06 left in `run_dir`.

    Raises:
        SarcnetError: notebooks have not finished, a slide cannot be read, or there is a review in `into` already.
    """
    key = into / "key.csv"
    if key.exists():
        raise SarcnetError(
            f"{shown(key)} is there already, and without it answers cannot be read: name another folder."
        )
    outputs = read_run_outputs(run_dir)
    review = write_review(
        outputs.tiles, count=tiles, repeats=repeats, checks=checks, per_patient_max=patient_tiles_max, files=outputs.files,
        geometry=outputs.geometry(outputs.files), folder=into, note=f"Data: {outputs.data_kind}", rng=seeds.rng(seed, "review"),
    )  # fmt: skip
    chosen = review.key[review.key["kind"] == "tile"]
    print(
        f"Sheet {review.sheet_id}: {len(chosen)} tiles of {chosen['patient_id'].nunique()} patients ({tiles} were asked for), "
        f"{repeats} of them twice, {checks} checks.\n"
        f"Hand on {shown(into / 'for_pathologists')}, keep {shown(key)}."
    )
    return 0


def run_import(key: Path, sheets: Sequence[Path], *, into: Path, samples: int, level: float, seed: int) -> int:
    """Read filled sheets; print what came back; write answers, comments, problems, checks, agreement and association as CSV.

    Raises:
        SarcnetError: the key or a sheet cannot be used at all; answers that cannot be used are reported, not refused.
    """
    answers = read_answers(sheets, key=key)
    results = analyse_answers(answers, samples=samples, level=level, rng=partial(seeds.rng, seed))
    tables = {
        "answers": answers.answers.merge(answers.key.drop(columns="sheet_id"), on="item_id", validate="many_to_one"),
        "comments": answers.comments,
        "problems": answers.problems,
        **vars(results),
    }
    for name, table in tables.items():
        with atomic_path(into / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    print(answers.summary_text())
    titles = {"checks": "Checks", "agreement": "Agreement, κ", "association": "With the contributions"}
    for name, title in titles.items():
        print(f"\n{title}:\n{tables[name].round(3).to_string(index=False)}")
    print(f"\nTables are in {shown(into)}.")
    return 0
