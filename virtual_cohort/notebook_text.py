"""What notebook 00 does and says about the cohort at hand: files put on record, sentences with this run's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.followup import event_free, follow_up, free_at
from sarcnet.cohort.outcome import with_outcome
from sarcnet.cohort.read import Cohort
from sarcnet.cohort.settings import CohortSettings
from sarcnet.compendium.paths import resolve
from sarcnet.compendium.progress import track
from sarcnet.compendium.stage import Stage
from virtual_cohort.cohort import generate, slide_orders
from virtual_cohort.cohort_folder import TRUTH, artefacts_path, regions_path, truth_path
from virtual_cohort.simulated import simulate_cohort

READERS = ("05_evaluation", "06_interpretability")
CAPTION_KNOBS = (
    "One pathology feature at a time at its 5th, 50th and 95th percentile among the virtual patients, all others in "
    "the middle (no necrosis); undifferentiated pleomorphic sarcoma, H&E, 200 µm wide. Mitoses are pointed at, in the "
    "field of the slide that has most of them."
)
CAPTION_CELLS = (
    "Mitotic figures and giant nuclei of one tumour with both at their 95th percentile among the virtual patients; "
    "undifferentiated pleomorphic sarcoma, H&E."
)

CAPTION_ARTEFACTS = (
    "What spoils a slide, in one and the same tissue with every pathology feature in the middle; undifferentiated "
    "pleomorphic sarcoma, HES, 380 µm wide."
)


def make(folder: Path, *, settings: CohortSettings) -> int:
    """Generate the virtual cohort of these settings; the number of slides."""
    counts = settings.counts()
    shape: dict[str, Any] = {
        "width_um": settings.slide_width_um,
        "height_um": settings.slide_height_um,
        "several_slides_share": settings.several_slides_share,
        "tiff_centres": settings.tiff_centres,
    }
    total = len(slide_orders(simulate_cohort(settings.seed, counts=counts), seed=settings.seed, **shape))
    slides = generate(
        folder,
        seed=settings.seed,
        counts=counts,
        jobs=settings.jobs,
        artefact_share=settings.artefact_share,
        control=settings.cohort_control,
        **shape,
    )
    return sum(1 for _ in track(slides, total=total, what="slides"))


def note_sources(stage: Stage[CohortSettings], *, folder: Path) -> None:
    """Put a given cohort's tables on record, so that the stage runs again when a hospital changes them."""
    for file in sorted([*folder.glob("*/patients.csv"), *folder.glob("*/slides.csv"), *folder.glob("cohort.json")]):
        stage.source(file)


def register_slides(stage: Stage[CohortSettings], *, cohort: Cohort) -> dict[str, Path]:
    """Put every slide file on record as an output of the stage; slide_id -> file."""
    files = {row["slide_id"]: resolve(row["file"]) for row in cohort.slides.to_dict("records")}
    for row in cohort.slides.to_dict("records"):
        stage.output(f"slides/{row['centre']}/{row['slide_id']}", path=files[row["slide_id"]])
    return files


def spoilt_slides(folder: Path) -> list[str]:
    """slide_ids of the slides with an artefact, by the truth; nobody knows them in a cohort that is not simulated."""
    path = artefacts_path(folder)
    return pd.read_parquet(path)["slide_id"].tolist() if path.is_file() else []


def spoilt(folder: Path, *, slides: int) -> str:
    """How many slides carry which artefact."""
    kinds = pd.read_parquet(artefacts_path(folder))["kind"].str.replace("_", " ").value_counts()
    listed = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    return f"{int(kinds.sum())} of {slides} slides are spoilt" + (f": {listed}." if listed else ".")


def register_truth(stage: Stage[CohortSettings], *, cohort: Cohort, folder: Path, endpoint: Endpoint) -> pd.DataFrame:
    """Put the truth on record, for the evaluation and the interpretation only.

    Returns:
        The patients' truth, with the true risk of this outcome.
    """
    table = endpoint.truth(pd.read_parquet(folder / TRUTH / "patients.parquet"))
    stage.write_table("truth/patients.parquet", table, readers=READERS)
    stage.output("truth/artefacts.parquet", path=artefacts_path(folder), readers=READERS)
    for slide_id in cohort.slides["slide_id"]:
        for path in (truth_path(folder, slide_id=slide_id), regions_path(folder, slide_id=slide_id)):
            stage.output(f"truth/slides/{path.name}", path=path, readers=READERS)
    stage.write_json("control.json", {"control": stage.settings.cohort_control}, readers=READERS)
    return table


def how_it_came(kind: str, *, made: int | None) -> str:
    """Whether the cohort was made or given."""
    if kind == "simulated":
        return f"The simulated cohort is on disk, with {made} slides."
    return f"This cohort is **{kind}**: it is read and checked, nothing in its folder is changed."


def counts(cohort: Cohort) -> str:
    """Patients, slides, outcomes by hospital."""
    lines = []
    for centre, group in cohort.patients.groupby("centre"):
        of = {name: int((group["series"] == name).sum()) for name in ("training", "validation")}
        slides = _count(int((cohort.slides["centre"] == centre).sum()), "slide")
        lines.append(f"- **{centre}**: {of['training']} + {of['validation']} patients, {slides}")
    total, all_slides = _count(len(cohort.patients), "patient"), _count(len(cohort.slides), "slide")
    head = f"**{total}** (training + validation) and **{all_slides}**:\n\n"
    without = len(cohort.training) - len(with_outcome(cohort.training))
    tail = (
        f"\n\nOutcome not known, hence no part in training: {_count(without, 'training patient')}." if without else ""
    )
    return head + "\n".join(lines) + tail


def case_mix(cohort: Cohort) -> str:
    """How the hospitals differ, in sentences."""
    parts = []
    for centre, group in cohort.patients.groupby("centre"):
        grade, size = group["fnclcc_grade"].dropna(), group["size_mm"].dropna()
        if len(grade) and len(size):
            high = f"{100 * (grade == 3).mean():.0f} % of the graded tumours are grade 3"
            parts.append(f"At {centre} {high} and half are larger than {size.median() / 10:.1f} cm.")
    return " ".join(parts) or "Grade and size are not known in this cohort."


def outcome(known: pd.DataFrame, *, endpoint: Endpoint) -> str:
    """Events, follow-up and freedom from the event at 5 years, in sentences."""
    if not len(known):
        return "Nothing can be said about outcomes: none is known."
    events, deaths = (int((known["mfs_event"] == code).sum()) for code in (1, 2))
    text = [
        f"Of {len(known)} training patients {events} {endpoint.had}"
        + (f" and {deaths} died without one" if endpoint.competing else "")
        + "; the others were censored."
    ]
    seen = follow_up(known, endpoint=endpoint)
    for centre, (free, low, high) in free_at(event_free(known), years=5.0).items():
        years = seen.loc[centre, "median_years"]
        said = f"{100 * free:.0f} %" if free == free else "unknown"
        said += f" (95 % interval {100 * low:.0f}–{100 * high:.0f} %)" if low == low else ""
        text.append(f"**{centre}**: median follow-up {years:.1f} years; {endpoint.survival} at 5 years {said}.")
    return " ".join(text)


def caption_outcome(known: pd.DataFrame, *, endpoint: Endpoint) -> str:
    """Caption of F1."""
    return (
        f"Training series, n = {len(known)}. Left: Kaplan–Meier estimate of {endpoint.survival}, by hospital, 95 % bands. "
        f"Right: Aalen–Johansen cumulative incidence of {' and of '.join(endpoint.codes.values())}, the hospitals weighted by "
        "their numbers of patients, as far as all of them were followed."
    )


def caption_slides(chosen: pd.DataFrame) -> str:
    """Caption of F2."""
    return f"{len(chosen)} slides of training patients; whole slide above, 160 µm from its middle below, bar 50 µm."


def summary(cohort: Cohort, *, report: dict[str, Any] | None, endpoint: Endpoint) -> str:
    """The recap."""
    hospitals = _count(cohort.patients["centre"].nunique(), "hospital")
    lines = [f"- The tables of {_count(len(cohort.patients), 'patient')} at {hospitals} passed every check."]
    known = with_outcome(cohort.training)
    lines.append(f"- {outcome(known, endpoint=endpoint)}")
    if report is not None:
        grade, clinical, oracle = (report[f"auc_{k}"] for k in ("fnclcc_grade", "sarculator_variables", "oracle"))
        lines.append(
            f"- By simulation (n = {report['patients']:,}), the grade reaches an AUC of {grade:.3f} at 5 years, a Cox "
            f"model on size, grade and histotype {clinical:.3f}, the oracle {oracle:.3f}."
        )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
