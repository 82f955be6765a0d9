"""The folder of a virtual cohort: where everything lies in it, whose it is, and what no longer belongs there.

Only a new folder, or one that was started here, is ever written to: a mark in truth/ says so, and a file that
`virtual_cohort.cohort` did not make is never removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from sarcnet.cohort.schema import KNOWN_FAILURES
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import write_json
from sarcnet.compendium.paths import shown
from virtual_cohort.rendering.painting import SVS

TRUTH = "truth"
MARK = "started_here.json"  # in truth/: this folder was made by `generate`


class Placed(Protocol):
    """What of a slide says where it lies."""

    @property
    def slide_id(self) -> str: ...

    @property
    def centre(self) -> str: ...

    @property
    def container(self) -> str: ...


def slide_path(folder: Path, *, centre: str, slide_id: str, container: str = SVS) -> Path:
    """Where a slide of the virtual cohort lies."""
    return folder / centre / "slides" / f"{slide_id}.{container}"


def truth_path(folder: Path, *, slide_id: str) -> Path:
    """Where the nuclei of a slide lie."""
    return folder / TRUTH / "slides" / f"{slide_id}.parquet"


def regions_path(folder: Path, *, slide_id: str) -> Path:
    """Where the map of a slide's regions lies."""
    return folder / TRUTH / "slides" / f"{slide_id}.regions.png"


def artefacts_path(folder: Path) -> Path:
    """Where the table of artefacts lies."""
    return folder / TRUTH / "artefacts.parquet"


def claim(folder: Path, *, card: Mapping[str, object]) -> None:
    """Make the folder ours, or refuse it before anything is touched; a card that says otherwise is taken down."""
    file, mark = folder / "cohort.json", folder / TRUTH / MARK
    faults = ErrorCollector()
    known = _card(file)
    if file.exists() and known.get("kind") != "simulated":
        faults.add(
            f"{shown(file)} does not say that the cohort is simulated. Choose another cohort_dir, or set cohort_kind to "
            "what it is."
        )
    elif not file.exists() and not mark.exists() and folder.exists() and any(folder.iterdir()):
        faults.add(
            f"{shown(folder)} holds files, but no simulated cohort was begun there. For your own patients set "
            "cohort_kind to private or public; for simulated ones choose a new cohort_dir."
        )
    virtual = {*_centres(known), *_centres(card), *_centres(_card(mark))}
    tables = sorted(p for p in [*folder.glob("*/patients.csv"), *folder.glob("*/slides.csv")])
    for hospital in dict.fromkeys(table.parent.name for table in tables):
        if hospital not in virtual:
            faults.add(f"{shown(folder / hospital)} is no virtual hospital; move it out of the simulated cohort.")
    faults.raise_if_any("The virtual cohort is not made, and nothing is overwritten")
    write_json(mark, {"kind": "simulated", "patients": dict.fromkeys(sorted(virtual))})
    if known and known != json.loads(json.dumps(card)):
        file.unlink()


def _centres(card: Mapping[str, object]) -> list[str]:
    """Hospitals that a card names."""
    patients = card.get("patients")
    return list(patients) if isinstance(patients, Mapping) else []


def _card(file: Path) -> dict[str, object]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def sweep(folder: Path, *, slides: Collection[Placed]) -> None:
    """Take away virtual slides and truths of patients who are not in this cohort, and tables of absent hospitals."""
    wanted = {slide_path(folder, centre=o.centre, slide_id=o.slide_id, container=o.container) for o in slides}
    wanted |= {
        truth_path(folder, slide_id=o.slide_id).with_suffix(suffix)
        for o in slides
        for suffix in (".parquet", ".json", ".regions.png")
    }
    for centre in _centres(_card(folder / TRUTH / MARK)):
        ours = re.compile(
            rf"\.?{re.escape(centre)}-[TV]\d+-S\d+(\.[^.]+){{0,2}}\.(svs|tiff|parquet|json|png)"
        )  # with half files
        for file in [*(folder / centre / "slides").glob("*"), *(folder / TRUTH / "slides").glob("*")]:
            if ours.fullmatch(file.name) and file not in wanted:
                file.unlink()
        if centre not in {slide.centre for slide in slides}:
            for name in ("patients.csv", "slides.csv", KNOWN_FAILURES):
                (folder / centre / name).unlink(missing_ok=True)
