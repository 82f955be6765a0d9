"""The command `sarcnet`: run a profile, say what is up to date, publish the figures."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from sarcnet.compendium.errors import SarcnetError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="sarcnet", description="Run the study, notebook by notebook.")
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run what is not up to date")
    run.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    run.add_argument("--from", dest="first", metavar="STAGE", help="run this stage again and go on, for example 04")
    run.add_argument("--only", metavar="STAGE", help="look at this stage only")
    run.add_argument("--upto", dest="last", metavar="STAGE", help="stop after this stage")
    run.add_argument("--force", action="store_true", help="run even what is up to date")
    run.add_argument(
        "--cell-timeout", type=int, default=10_800, metavar="SECONDS", help="give up a cell after this time"
    )
    status = commands.add_parser("status", help="say what would run, and why")
    status.add_argument("profile")
    publish = commands.add_parser("publish", help="copy a finished run's figures to figures/ and renew the README")
    publish.add_argument("profile")
    features = commands.add_parser("features", help="feature files of other tools").add_subparsers(
        dest="action", required=True
    )
    taking = features.add_parser("import", help="check files of TRIDENT, CLAM or STAMP and write them as ours")
    taking.add_argument("source", help="folder with one .h5 for each slide")
    taking.add_argument("--hospital", required=True, metavar="FOLDER", help="folder with slides.csv and the slides")
    taking.add_argument("--into", required=True, metavar="FOLDER", help="folder that gets <slide_id>.h5")
    taking.add_argument(
        "--tile-um", type=float, metavar="UM", help="side of a tile in µm, where the files do not say it"
    )
    taking.add_argument("--encoder", metavar="NAME", help="name in docs/encoders.md, to check the number of features")
    cohort = commands.add_parser("cohort", help="make a cohort of public data").add_subparsers(
        dest="action", required=True
    )
    tcga = cohort.add_parser("tcga", help="lay out TCGA-SARC from the GDC's open tables and slides")
    tcga.add_argument("export", help="folder with clinical.tsv, follow_up.tsv and pathology_detail.tsv of the GDC")
    tcga.add_argument("--manifest", required=True, metavar="FILE", help="the GDC's manifest of diagnostic slides")
    tcga.add_argument("--into", default="data/tcga_sarc", metavar="FOLDER", help="the cohort (default: data/tcga_sarc)")
    tcga.add_argument("--grades", metavar="FILE", help="CSV with columns patient and fnclcc, and perhaps histotype")
    tcga.add_argument("--slides", metavar="FOLDER", help="where slides lie already, as gdc-client leaves them")
    tcga.add_argument("--download", action="store_true", help="fetch missing slides (about 1 GB each)")
    tcga.add_argument("--slides-per-patient", type=int, default=1, metavar="N", help="at most (default: 1)")
    tcga.add_argument(
        "--centre-patients-min", type=int, default=15, metavar="N", help="sites with fewer go together (default: 15)"
    )
    review = commands.add_parser("review", help="tiles for pathologists, and their answers").add_subparsers(
        dest="action", required=True
    )
    asking = review.add_parser("export", help="write a blinded sheet from a finished run")
    asking.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    asking.add_argument("--into", required=True, metavar="FOLDER", help="gets for_readers/ and key.csv")
    asking.add_argument("--tiles", type=int, default=60, metavar="N", help="tiles (default: 60)")
    asking.add_argument("--repeats", type=int, default=12, metavar="N", help="tiles seen twice (default: 12)")
    asking.add_argument("--checks", type=int, default=2, metavar="N", help="attention checks (default: 2)")
    asking.add_argument("--patient-tiles-max", type=int, default=2, metavar="N", help="of one patient (default: 2)")
    asking.add_argument("--seed", type=int, required=True, help="keep it to yourself: it decides codes and order")
    reading = review.add_parser("import", help="check filled sheets, and say what readers agree on and see")
    reading.add_argument("key", help="key.csv of the review")
    reading.add_argument("sheets", nargs="+", help="filled tables, one for each reader")
    reading.add_argument("--into", required=True, metavar="FOLDER", help="folder that gets the tables")
    reading.add_argument("--bootstrap-samples", type=int, default=2000, metavar="N", help="default: 2000")
    reading.add_argument("--interval-level", type=float, default=0.95, metavar="SHARE", help="default: 0.95")
    reading.add_argument("--seed", type=int, default=2025, help="of the resamples (default: 2025)")
    qupath = commands.add_parser("qupath", help="explained slides for QuPath and for a browser")
    qupath.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    qupath.add_argument("slides", nargs="+", metavar="SLIDE", help="slide_id, of the training series")
    qupath.add_argument("--into", required=True, metavar="FOLDER", help="folder that gets the files")
    qupath.add_argument(
        "--nuclei-min", type=int, default=8, metavar="N", help="a tile needs for mean sizes (default: 8)"
    )
    hospital = commands.add_parser("hospital", help="a hospital's part of a federation").add_subparsers(
        dest="action", required=True
    )
    laying = hospital.add_parser("lay", help="lay the folder that its node reads, from its own notebooks 00 and 02")
    laying.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    laying.add_argument("--centre", metavar="NAME", help="the hospital, where the run has several")
    laying.add_argument("--into", required=True, metavar="FOLDER", help="folder that is laid afresh")
    federation = commands.add_parser("federation", help="the coordinating site's part of a federation").add_subparsers(
        dest="action", required=True
    )
    plan = federation.add_parser("plan", help="write the settings of `flwr run` from a profile; no data needed")
    plan.add_argument("profile", help="name of a file in papermill_params, or the path of a .yaml file")
    plan.add_argument("--hospitals", required=True, nargs="+", metavar="NAME", help="as their folders are called")
    plan.add_argument("--out", required=True, metavar="FOLDER", help="for the result, on the SuperLink's machine")
    plan.add_argument("--into", default="run.toml", metavar="FILE", help="file to write (default: run.toml)")
    plan.add_argument("--strategy", default="fedavg", metavar="NAME", help="default: fedavg")
    plan.add_argument("--secure-sum", action="store_true", help="the server reads sums only; three hospitals or more")
    plan.add_argument("--deadline-s", type=float, default=900.0, metavar="S", help="for a round (default: 900)")
    plan.add_argument(
        "--start-deadline-s", type=float, default=300.0, metavar="S", help="for the first answer (default: 300)"
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 a stage failed, 2 bad input, 3 finished but for slides that could not be used
    (they are named), 130 interrupted.
    """
    options = parser().parse_args(arguments)
    with contextlib.suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ending the run politely is an interruption
    try:
        if options.command == "features":
            from sarcnet.features.importing import run_import

            where = (options.source, options.hospital, options.into)
            return run_import(*where, tile_um=options.tile_um, encoder=options.encoder)
        if options.command == "cohort":
            from sarcnet.cli.tcga import run_lay_out

            chosen = {
                name: value for name, value in vars(options).items() if name not in ("command", "action", "export")
            }
            return run_lay_out(options.export, **chosen)
        if options.command == "review":
            return review(options)
        from sarcnet.compendium.study import Study

        study = Study.load(options.profile)
        if options.command == "qupath":
            from pathlib import Path

            from sarcnet.cli.qupath import run_qupath

            return run_qupath(study.run_dir, options.slides, into=Path(options.into), nuclei_min=options.nuclei_min)
        if options.command in ("hospital", "federation"):
            return federate(study, options)
        if options.command == "run":
            from sarcnet.compendium.runner import run

            return run(
                study,
                first=options.first,
                only=options.only,
                last=options.last,
                force=options.force,
                cell_timeout_s=options.cell_timeout,
            )
        if options.command == "status":
            return status(study)
        from sarcnet.cli.publish import publish

        return publish(study)
    except SarcnetError as error:
        print(f"sarcnet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def review(options: argparse.Namespace) -> int:
    """`sarcnet review export` and `sarcnet review import`."""
    from pathlib import Path

    from sarcnet.cli.review import run_export, run_import

    if options.action == "import":
        bootstrap = {"samples": options.bootstrap_samples, "level": options.interval_level, "seed": options.seed}
        return run_import(
            Path(options.key), [Path(path) for path in options.sheets], into=Path(options.into), **bootstrap
        )
    from sarcnet.compendium.study import Study

    run_dir = Study.load(options.profile).run_dir
    names = ("tiles", "repeats", "checks", "patient_tiles_max", "seed")
    return run_export(run_dir, into=Path(options.into), **{name: getattr(options, name) for name in names})


def federate(study, options: argparse.Namespace) -> int:  # type: ignore[no-untyped-def]
    """`sarcnet hospital lay` and `sarcnet federation plan`."""
    from pathlib import Path

    from sarcnet.cli.federation import run_lay, run_plan

    if options.command == "hospital":
        return run_lay(study, centre=options.centre, into=Path(options.into))
    names = ("hospitals", "out", "strategy", "secure_sum", "deadline_s", "start_deadline_s")
    return run_plan(study, into=Path(options.into), **{name: getattr(options, name) for name in names})


def status(study) -> int:  # type: ignore[no-untyped-def]
    """Print for each stage whether it is up to date; stages after a stale one depend on what it will write. Then what
    finished stages could not use. Exit code 0 either way.
    """
    from sarcnet.compendium.excluded import exclusions, sentence
    from sarcnet.compendium.files import HashBook

    book = HashBook(study.run_dir / "hashes.json")
    for notebook in study.notebooks:
        reason = study.why(notebook, book)
        print(f"{notebook.name}: " + ("up to date" if reason is None else f"would run, because {reason}"))
    book.save()
    for name, listed in exclusions(study, study.notebooks).items():
        for loss in listed:
            print(f"{name}: {sentence(loss)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
