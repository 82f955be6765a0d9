"""TCGA-SARC laid out as a cohort that the notebooks read: one folder a hospital, with tables and slides; run it again and
it goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from sarcnet.cohort import gdc
from sarcnet.cohort.schema import PATIENT_COLUMNS, SLIDE_COLUMNS
from sarcnet.cohort.tcga import Tcga, read_export, read_grades, select
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.compendium.paths import shown
from sarcnet.compendium.progress import track

SOURCE = "TCGA-SARC, National Cancer Institute, Genomic Data Commons (open access)"
SPARE_BYTES = 1 << 30


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
) -> tuple[Tcga, pd.DataFrame, ErrorCollector]:
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
    chosen = select(
        read_export(export),
        grades=None if grades is None else read_grades(grades),
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


def _write(into: Path, *, chosen: Tcga, files: pd.DataFrame) -> None:
    for centre, patients in chosen.patients.groupby("centre"):
        _csv(into / str(centre) / "patients.csv", patients[list(PATIENT_COLUMNS)])
        brought = files[(files["centre"] == centre) & files["there"]]
        table = pd.DataFrame({"slide_id": brought["slide_id"], "patient_id": brought["patient_id"], "stain": "HE"})
        table["file"] = "slides/" + brought["filename"].astype(str)
        _csv(into / str(centre) / "slides.csv", table.reindex(columns=list(SLIDE_COLUMNS)))
    _csv(into / "left_out.csv", chosen.left_out)
    _csv(into / "doubts.csv", chosen.doubts)
    columns = [name for name in gdc.COLUMNS if name in files]
    _csv(into / "missing_slides.tsv", files.loc[~files["there"], columns], separator="\t")
    write_json(into / "cohort.json", {"kind": "public", "source": SOURCE})


def _csv(path: Path, table: pd.DataFrame, *, separator: str = ",") -> None:
    with atomic_path(path) as part:
        table.to_csv(part, sep=separator, index=False, lineterminator="\n")
