"""Slides of the Genomic Data Commons: which file belongs to whom, and fetching them so that an interruption costs nothing.

A manifest (id, filename, md5, size, state) is what the portal and `gdc-client` use. Open files need no account:
https://api.gdc.cancer.gov/data/<id> answers with the file and takes up a broken transfer (HTTP Range). A file is kept
under its name only when its checksum is the manifest's.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import shown

SERVER = "https://api.gdc.cancer.gov/data"
COLUMNS = ("id", "filename", "md5", "size", "state")
NAME = re.compile(r"^(TCGA-\w\w-\w{4})-(\w+-\w+-DX(\w+))\.[0-9A-Fa-f-]+\.svs$")
BLOCK_BYTES, TIMEOUT_S, TRIES = 1 << 20, 60, 4


def read_manifest(path: Path) -> pd.DataFrame:
    """Diagnostic slides of a manifest: its columns, patient_id and slide_id, sorted by slide_id.

    Raises:
        SarcnetError: no manifest, or no diagnostic slide (…-DX1.….svs) in it.
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=str)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SarcnetError(f"{shown(path)} cannot be read as a manifest of the GDC: {error}.") from error
    missing = [name for name in COLUMNS[:4] if name not in table]
    if missing:
        raise SarcnetError(f"{shown(path)} is no manifest of the GDC: {', '.join(missing)} missing in its first line.")
    parts = table["filename"].str.extract(NAME)
    table = table.assign(patient_id=parts[0], slide_id=parts[0] + "-" + parts[1]).dropna(subset=["slide_id"])
    if table.empty:
        raise SarcnetError(f"{shown(path)} names no diagnostic slide (TCGA-…-DX1.….svs): choose data type Slide Image.")
    return table.sort_values("slide_id").drop_duplicates("slide_id").reset_index(drop=True)


def wanted(manifest: pd.DataFrame, patients: pd.DataFrame, *, slides_per_patient: int) -> pd.DataFrame:
    """The first diagnostic slides of each of these patients, with the patient's centre."""
    own = manifest.merge(patients[["patient_id", "centre"]], on="patient_id")
    return own.groupby("patient_id", sort=False).head(slides_per_patient).reset_index(drop=True)


def take(files: pd.DataFrame, *, source: Path, folders: Mapping[str, Path], faults: ErrorCollector) -> int:
    """Bring slides that lie below `source` (as gdc-client leaves them) into their hospitals' folders, by hard link where
    the disk allows it. A file of another size than the manifest's is named and left.

    Returns:
        How many were brought.
    """
    found = {path.name: path for path in sorted(source.rglob("*.svs"))}
    count = 0
    for row in files.itertuples():
        goal = folders[row.centre] / row.filename
        path = found.get(row.filename)
        if path is None or goal.exists():
            continue
        if path.stat().st_size != int(row.size):
            faults.add(f"{path}: {path.stat().st_size:,} bytes instead of {int(row.size):,}; fetch it again.")
            continue
        goal.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), goal)  # a link to a link would lead out of the cohort
        except OSError:
            with atomic_path(goal) as part:
                shutil.copyfile(path, part)
        count += 1
    return count


def fetch(row: object, *, goal: Path, server: str = SERVER) -> None:
    """Fetch one file of a manifest; what an earlier attempt brought is kept beside it (….part) and continued.

    Args:
        row: has id, filename, md5 and size.
        goal: the file.
        server: base address; the file's id is added.

    Raises:
        SarcnetError: the server cannot be reached, or the contents are not what the manifest says.
    """
    file_id, md5, size = str(row.id), str(row.md5), int(row.size)  # type: ignore[attr-defined]
    part = goal.with_name(goal.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    said = ""
    for _ in range(TRIES):
        here = part.stat().st_size if part.exists() else 0
        if here >= size:
            break
        request = urllib.request.Request(f"{server}/{file_id}", headers={"Range": f"bytes={here}-"} if here else {})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                resumed = answer.status == 206
                with part.open("ab" if resumed else "wb") as file:
                    shutil.copyfileobj(answer, file, BLOCK_BYTES)
        except (OSError, urllib.error.URLError) as error:
            said = str(error)
    here = part.stat().st_size if part.exists() else 0
    if here < size:
        raise SarcnetError(
            f"{goal.name}: {here:,} of {size:,} bytes came ({said or 'the server ended early'}); try again."
        )
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        part.unlink()
        raise SarcnetError(f"{goal.name}: its checksum is {found}, the manifest says {md5}; it was removed, try again.")
    os.replace(part, goal)
