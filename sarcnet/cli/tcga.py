"""`sarcnet cohort tcga`: lay TCGA-SARC out as a cohort that the notebooks read; run it again and it goes on."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pandas as pd

from sarcnet.cli.arguments import add_actions
from sarcnet.cohort import gdc, tcga
from sarcnet.cohort.schema import PATIENT_COLUMNS, SLIDE_COLUMNS
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.compendium.paths import resolve, shown
from sarcnet.compendium.progress import track

SOURCE = "TCGA-SARC, National Cancer Institute, Genomic Data Commons (open access)"
SPARE_BYTES = 1 << 30


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


def lay_out(
    export: Path,
    *,
    manifest: Path,
    into: Path,
    grades: Path | None = None,
    slides: Path | None = None,
    download: bool = False,
    slides_per_patient: int = 1,
    centre_patients_min: int = 15,
    server: str = gdc.SERVER,
) -> tuple[tcga.Tcga, pd.DataFrame, ErrorCollector]:
    """Write the cohort: for each hospital patients.csv, slides.csv (the slides that are there) and slides/; beside them
    left_out.csv and doubts.csv with reasons, missing_slides.tsv (a manifest of what is still to fetch), cohort.json.

    Args:
        export: folder with the GDC's clinical tables.
        manifest: the GDC's manifest of slides.
        into: the cohort's folder; what it holds is renewed, slides are kept.
        grades: table of FNCLCC grades.
        slides: folder in which slides lie already.
        download: fetch what is missing.
        slides_per_patient: diagnostic slides of a patient, at most.
        centre_patients_min: tissue source sites with fewer patients go together.
        server: where to fetch from.

    Returns:
        The selection; the wanted slides with a column `there`; what went wrong with single slides.

    Raises:
        SarcnetError: tables that cannot be used, or a disk too small for the slides that are to be fetched.
    """
    chosen = tcga.select(
        tcga.read_export(export),
        grades=None if grades is None else tcga.read_grades(grades),
        centre_patients_min=centre_patients_min,
    )
    files = gdc.wanted(gdc.read_manifest(manifest), chosen.patients, slides_per_patient=slides_per_patient)
    folders = {centre: into / centre / "slides" for centre in sorted(chosen.patients["centre"].unique())}
    faults = ErrorCollector()
    if slides is not None:
        gdc.take(files, source=slides, folders=folders, faults=faults)
    if download:
        _fetch_missing(files, folders=folders, into=into, server=server, faults=faults)
    files["there"] = [_goal(row, folders).is_file() for row in files.itertuples()]
    _write(into, chosen=chosen, files=files)
    return chosen, files, faults


def _goal(row: object, folders: dict[str, Path]) -> Path:
    return folders[row.centre] / row.filename  # type: ignore[attr-defined]


def _fetch_missing(
    files: pd.DataFrame, *, folders: dict[str, Path], into: Path, server: str, faults: ErrorCollector
) -> None:
    missing = [row for row in files.itertuples() if not _goal(row, folders).exists()]
    need = sum(int(row.size) for row in missing)
    into.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(into).free
    if need + SPARE_BYTES > free:
        raise SarcnetError(
            f"The {len(missing)} slides still to fetch hold {need / 1e9:.1f} GB, and {shown(into)} has {free / 1e9:.1f} GB "
            "left: choose another disk with --into, or fetch some of missing_slides.tsv with gdc-client."
        )
    for row in track(missing, what="slides"):
        try:
            gdc.fetch(row, goal=_goal(row, folders), server=server)
        except SarcnetError as error:
            faults.add(str(error))


def _write(into: Path, *, chosen: tcga.Tcga, files: pd.DataFrame) -> None:
    for centre, patients in chosen.patients.groupby("centre"):
        _csv(into / str(centre) / "patients.csv", patients[list(PATIENT_COLUMNS)])
        own = files[(files["centre"] == centre) & files["there"]]
        table = pd.DataFrame({"slide_id": own["slide_id"], "patient_id": own["patient_id"], "stain": "HE"})
        table["file"] = "slides/" + own["filename"].astype(str)
        _csv(into / str(centre) / "slides.csv", table.reindex(columns=list(SLIDE_COLUMNS)))
    _csv(into / "left_out.csv", chosen.left_out)
    _csv(into / "doubts.csv", chosen.doubts)
    columns = [name for name in gdc.COLUMNS if name in files]
    _csv(into / "missing_slides.tsv", files.loc[~files["there"], columns], separator="\t")
    write_json(into / "cohort.json", {"kind": "public", "source": SOURCE})


def _csv(path: Path, table: pd.DataFrame, *, separator: str = ",") -> None:
    with atomic_path(path) as part:
        table.to_csv(part, sep=separator, index=False, lineterminator="\n")


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
