"""`sarcnet cohort tcga`: lay TCGA-SARC out as a cohort that the notebooks read; run it again and it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

from sarcnet.cli.arguments import add_actions
from sarcnet.cohort.tcga_folders import lay_out
from sarcnet.compendium.paths import resolve, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action and its options."""
    action = add_actions(parser).add_parser("tcga", help="lay out TCGA-SARC from the GDC's open tables and slides")
    action.add_argument(
        "export", type=Path, help="folder with clinical.tsv, follow_up.tsv and pathology_detail.tsv of the GDC"
    )
    action.add_argument(
        "--manifest", type=Path, required=True, metavar="FILE", help="the GDC's manifest of diagnostic slides"
    )
    action.add_argument(
        "--into", type=Path, default=Path("data/tcga_sarc"), metavar="FOLDER", help="the cohort (default: %(default)s)"
    )
    action.add_argument(
        "--grades", type=Path, metavar="FILE", help="CSV with columns patient and fnclcc, and perhaps histotype"
    )
    action.add_argument(
        "--slides", type=Path, metavar="FOLDER", help="where slides lie already, as gdc-client leaves them"
    )
    action.add_argument("--download", action="store_true", help="fetch missing slides (about 1 GB each)")
    action.add_argument("--slides-per-patient", type=int, default=1, metavar="N", help="at most (default: %(default)s)")
    action.add_argument(
        "--centre-patients-min",
        type=int,
        default=15,
        metavar="N",
        help="sites with fewer go together (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Lay the cohort out and say what was found; exit code 0, or 1 when single slides failed."""
    names = ("manifest", "grades", "slides", "download", "slides_per_patient", "centre_patients_min")
    into = resolve(options.into)
    selection, files, faults = lay_out(options.export, into=into, **{name: getattr(options, name) for name in names})
    patients = selection.patients
    by_centre = ", ".join(f"{name} {count}" for name, count in patients["centre"].value_counts().sort_index().items())
    events = int((patients["mfs_event"] == 1).sum())
    print(
        f"{len(patients)} patients ({by_centre}), {events} with metastasis; {len(selection.left_out)} left out, each with "
        "its reason."
    )
    print(f"{int(files['there'].sum())} of {len(files)} slides are there.")
    if not files["there"].all():
        print(
            f"The others are listed in {shown(into)}/missing_slides.tsv: add --download, or give it to gdc-client and use "
            "--slides."
        )
    print(f"Read {shown(into)}/left_out.csv and {shown(into)}/doubts.csv, then: make reproduce PROFILE=tcga_sarc")
    for sentence in faults.sentences:
        print(f"  - {sentence}")
    return 1 if faults else 0
