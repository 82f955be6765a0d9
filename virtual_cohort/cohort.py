"""A whole virtual cohort on disk: hospitals' folders as any hospital would fill them, and the truth outside them.

Work is resumable by slide. A slide's receipt, written last, holds the key of everything that shaped it (patient,
scanner, size, seed, code) and the checksum of the file; a slide without a matching receipt is painted again, and
virtual slides that belong to no patient of this cohort are taken away. cohort.json is removed before the first slide
is painted and written last. The folder itself is the matter of `virtual_cohort.cohort_folder`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import joblib
import pandas as pd

from sarcnet.cohort.read import stack
from sarcnet.cohort.schema import HISTOTYPES, KNOWN_FAILURES, SLIDE_COLUMNS
from sarcnet.cohort.settings import Control
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import atomic_path, sha256, write_json
from sarcnet.compendium.seeds import rng
from virtual_cohort.cohort_folder import TRUTH, artefacts_path, claim, regions_path, slide_path, sweep, truth_path
from virtual_cohort.patients.centres import virtual_centre
from virtual_cohort.patients.controls import stain_strength
from virtual_cohort.patients.pathology import Look
from virtual_cohort.patients.simulate import VirtualPatients
from virtual_cohort.rendering.artefacts import BLANK, settle, truth_table
from virtual_cohort.rendering.painting import SVS, TIFF, SlideOrder, paint
from virtual_cohort.simulated import simulate_cohort

THIRD_SLIDE = 1 / 3  # share of the patients with several slides who have three


def slide_orders(
    cohort: Mapping[str, VirtualPatients],
    *,
    seed: int,
    width_um: float,
    height_um: float,
    artefact_share: float = 0.0,
    control: Control = "none",
    several_slides_share: float = 0.0,
    tiff_centres: Collection[str] = (),
) -> list[SlideOrder]:
    """Slides of every patient, patient by patient.

    Args:
        cohort: patients by centre.
        seed: root of all randomness.
        width_um: of a slide. height_um: likewise.
        artefact_share: share of slides with an artefact.
        control: what must not be found.
        several_slides_share: share of patients with two slides or, a third of them, three. More slides change none of
            those that were there.
        tiff_centres: centres whose slides are plain TIFFs.
    """
    orders = []
    for name, patients in cohort.items():
        strengths = stain_strength(patients, control=control)
        for row, strength in zip(patients.truth.to_dict("records"), strengths, strict=True):
            for number in range(1, 1 + _slides_of(seed, row["patient_id"], several_slides_share=several_slides_share)):
                slide_id = f"{row['patient_id']}-S{number}"
                orders.append(
                    SlideOrder(
                        slide_id=slide_id,
                        patient_id=row["patient_id"],
                        centre=name,
                        look=look_of(row),
                        scanner=virtual_centre(name).scanner,
                        seed=seed,
                        width_um=width_um,
                        height_um=height_um,
                        artefact=settle(
                            seed,
                            slide_id=slide_id,
                            artefact_share=artefact_share,
                            width_um=width_um,
                            height_um=height_um,
                        ),
                        stain_strength=float(strength),
                        container=TIFF if name in tiff_centres else SVS,
                    )
                )
    return orders


def _slides_of(seed: int, patient_id: str, *, several_slides_share: float) -> int:
    die = float(rng(seed, "number of slides", patient_id).random())
    return 1 + (die < several_slides_share) + (die < THIRD_SLIDE * several_slides_share)


def look_of(truth: Mapping[str, object]) -> Look:
    """The visible pathology of one row of the truth."""
    fields = [name for name in Look.__dataclass_fields__ if name != "histotype"]
    values = {name: float(truth[name]) for name in fields}  # type: ignore[arg-type]
    return Look(histotype=HISTOTYPES.index(str(truth["histotype"])), **values)


def generate(
    folder: Path,
    *,
    seed: int,
    counts: Mapping[str, Mapping[str, int]],
    width_um: float,
    height_um: float,
    jobs: int,
    artefact_share: float = 0.0,
    control: Control = "none",
    several_slides_share: float = 0.0,
    tiff_centres: Collection[str] = (),
) -> Iterator[str]:
    """Write the cohort to `folder`, yielding each slide_id as it is done (done before or painted now).

    The generator must be run to its end: tables and cohort.json come last.

    Raises:
        SarcnetError: parameters are impossible, all of them named, or the folder holds anything that was not made here;
            nothing is written or removed then.
    """
    size = {"width_um": width_um, "height_um": height_um}
    shares = {"artefact_share": artefact_share, "several_slides_share": several_slides_share}
    _refuse_impossible(seed=seed, counts=counts, sizes=size, shares=shares, jobs=jobs, tiff_centres=tiff_centres)
    card = {"kind": "simulated", "seed": seed, "patients": counts, "slide_um": [width_um, height_um]}
    card |= {"artefact_share": artefact_share, "control": control}
    card |= {"several_slides_share": several_slides_share, "tiff_centres": sorted(tiff_centres)}
    claim(folder, card=card)
    cohort = simulate_cohort(seed, counts=counts, control=control)
    orders = slide_orders(
        cohort,
        seed=seed,
        **size,
        artefact_share=artefact_share,
        control=control,
        several_slides_share=several_slides_share,
        tiff_centres=tiff_centres,
    )
    sweep(folder, slides=orders)
    todo = [order for order in orders if not is_done(folder, order=order)]  # nothing to do starts no process
    if todo:
        (folder / "cohort.json").unlink(missing_ok=True)
    yield from (order.slide_id for order in orders if order not in todo)
    workers = max(1, min(jobs, len(todo)))
    calls = (joblib.delayed(paint_order)(folder, order=order) for order in todo)
    yield from joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=2 if workers > 1 else 1)(calls)
    for name, patients in cohort.items():
        _write_tables(folder / name, patients=patients, orders=[order for order in orders if order.centre == name])
    with atomic_path(folder / TRUTH / "patients.parquet") as part:
        stack([patients.truth for patients in cohort.values()]).to_parquet(part, index=False)
    with atomic_path(artefacts_path(folder)) as part:
        truth_table({order.slide_id: order.artefact for order in orders}, **size).to_parquet(part, index=False)
    write_json(folder / "cohort.json", card)


SIDE_UM = (100.0, 20_000.0)  # of a slide that is painted as a whole; larger ones: virtual_cohort.rendering.giant


def _refuse_impossible(
    *,
    seed: int,
    counts: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, float],
    shares: Mapping[str, float],
    jobs: int,
    tiff_centres: Collection[str],
) -> None:
    """Say all that is wrong with the parameters of a cohort."""
    faults = ErrorCollector()
    if seed < 0:
        faults.add(f"seed is {seed}; give a whole number from 0 on.")
    if jobs < 1:
        faults.add(f"jobs is {jobs}; at least one process has to work.")
    if not counts:
        faults.add("counts names no hospital; give at least one.")
    for name, size in sizes.items():
        if not SIDE_UM[0] <= size <= SIDE_UM[1]:
            faults.add(f"{name} is {size:g}; it must lie between {SIDE_UM[0]:g} and {SIDE_UM[1]:g} µm.")
    for name, share in shares.items():
        if not 0 <= share <= 1:
            faults.add(f"{name} is {share:g}; a share lies between 0 and 1.")
    for name, series in counts.items():
        for part, count in series.items():
            if count < 1:
                faults.add(
                    f"counts asks for {count} patients in the {part} series of {name}; give at least one, or leave it out."
                )
        mix = virtual_centre(name).mix
        for what, parts in (("histotypes", mix.histotypes), ("sites", mix.sites)):
            if min(parts) < 0 or abs(sum(parts) - 1) > 1e-6:
                faults.add(
                    f"the shares of {what} at {name} are {parts}; none may be negative, and their sum must be 1."
                )
    for name in sorted(set(tiff_centres) - set(counts)):
        faults.add(f"tiff_centres names {name}, which is not among the hospitals; name one of them.")
    faults.raise_if_any("This virtual cohort cannot be made:")


def paint_order(folder: Path, *, order: SlideOrder) -> str:
    """Paint one slide and write its nuclei, unless both are there under the same key; returns the slide_id."""
    target = slide_path(folder, centre=order.centre, slide_id=order.slide_id, container=order.container)
    truth, regions = (where(folder, slide_id=order.slide_id) for where in (truth_path, regions_path))
    receipt = truth.with_suffix(".json")
    if is_done(folder, order=order):
        return order.slide_id
    receipt.unlink(missing_ok=True)
    paint(order, slide=target, truth=truth, regions=regions)
    write_json(receipt, {"key": order.key(), "sha256": [sha256(file) for file in (target, truth, regions)]})
    return order.slide_id


def is_done(folder: Path, *, order: SlideOrder) -> bool:
    """Whether slide and nuclei are there, painted to this very order and not changed since."""
    truth = truth_path(folder, slide_id=order.slide_id)
    regions = regions_path(folder, slide_id=order.slide_id)
    files = (
        slide_path(folder, centre=order.centre, slide_id=order.slide_id, container=order.container),
        truth,
        regions,
    )
    try:
        known = json.loads(truth.with_suffix(".json").read_text())
        return known["key"] == order.key() and known["sha256"] == [sha256(file) for file in files]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_tables(hospital: Path, *, patients: VirtualPatients, orders: list[SlideOrder]) -> None:
    slides = pd.DataFrame(
        {
            "slide_id": [order.slide_id for order in orders],
            "patient_id": [order.patient_id for order in orders],
            "file": [f"slides/{order.slide_id}.{order.container}" for order in orders],
            "mpp": None,
            "stain": [order.scanner.stain for order in orders],
        },
        columns=list(SLIDE_COLUMNS),
    )
    blank = [order.slide_id for order in orders if order.artefact and order.artefact.kind == BLANK]
    failing = pd.DataFrame({"slide_id": blank, "why": "left blank on purpose"})
    for name, table in (("patients.csv", patients.table), ("slides.csv", slides), (KNOWN_FAILURES, failing)):
        with atomic_path(hospital / name) as part:
            table.to_csv(part, index=False)
