"""`sarcnet hospital create`: a hospital creates the folder that its node reads, from its own finished notebooks 00 and 02.

Its folds depend on its own patients and the profile alone, so every hospital assigns them by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from sarcnet.cli.arguments import add_actions, add_profile
from sarcnet.cohort.endpoint import FILE as OUTCOME_FILE
from sarcnet.cohort.endpoint import read_endpoint
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import HashBook
from sarcnet.compendium.freshness import Records
from sarcnet.compendium.paths import resolve, shown
from sarcnet.compendium.study import Study
from sarcnet.federated.hospital_folder import write_hospital
from sarcnet.model.crossval import make_folds
from sarcnet.model.settings import ModelSettings

NEEDED = ("00_cohort", "02_features")
#: All that may be in a hospital's folder; one that holds anything else is not overwritten.
CONTENT = {OUTCOME_FILE, "patients.parquet", "folds.parquet", "slides.parquet", "features", "error.txt"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action and its options."""
    action = add_actions(parser).add_parser(
        "create", help="create the folder that the hospital's node reads, from its own notebooks 00 and 02"
    )
    add_profile(action)
    action.add_argument("--centre", metavar="NAME", help="the hospital, where the run has several")
    action.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="folder to create, or to renew")


def run(options: argparse.Namespace) -> int:
    """Create the folder."""
    create_folder(Study.load(options.profile), centre=options.centre, into=options.into)
    return 0


def create_folder(study: Study, *, centre: str | None, into: Path) -> None:
    """Write a hospital's folder from a run, readable by its owner only; what it held is replaced, features are copied.

    Args:
        study: the notebooks and the profile of the run.
        centre: name of the hospital; None where the run has one only.
        into: the folder.

    Raises:
        SarcnetError: a notebook has not finished or is stale, another centre or none is named, the folder holds something
            else, or the patients do not fill the folds.
    """
    records = Records(study.run_dir, HashBook(study.run_dir / "hashes.json"))
    faults = ErrorCollector()
    for name in NEEDED:
        if stale := records.stale_upstream(name):
            stage, reason = stale
            faults.add(
                f"{stage} of {shown(study.run_dir)} would run, because {reason}: run `sarcnet run {study.profile} --upto "
                f"{NEEDED[-1]}`."
            )
    if into.is_dir() and (others := sorted(path.name for path in into.iterdir() if path.name not in CONTENT)):
        faults.add(f"{into} holds {others[0]}, which is no part of a hospital's folder: name a new or empty folder.")
    faults.raise_if_any("The hospital's folder cannot be created")
    outputs = {
        key: resolve(output["path"]) for name in NEEDED for key, output in (records.get(name) or {})["outputs"].items()
    }
    training = pd.read_parquet(outputs["training.parquet"]).dropna(subset=["mfs_months", "mfs_event"])
    centres = sorted(training["centre"].unique())
    if centre is None and len(centres) == 1:
        (centre,) = centres
    if centre is None or centre not in centres:
        raise SarcnetError(
            f"{shown(study.run_dir)} has patients of {', '.join(centres)}, not of '{centre or ''}': name one with --centre."
        )
    patients = training[training["centre"] == centre].reset_index(drop=True)
    slides = pd.read_parquet(outputs["slides.parquet"])
    model = study.settings_for("03_model", ModelSettings)
    write_hospital(
        into,
        centre=centre,
        patients=patients,
        slides=slides,
        folds=make_folds(patients, folds=model.folds, repeats=model.repeats, seed=model.seed),
        features={path.stem: path for key, path in outputs.items() if key.startswith("features/")},
        outcome=read_endpoint(outputs[OUTCOME_FILE]).name,
        link=False,  # whoever changes the folder's owner must not change the run's
    )
    for path in (into, *into.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    written = pd.read_parquet(into / "slides.parquet")
    files = {path.stem for path in (into / "features").iterdir()}
    with_features = written[written["slide_id"].isin(files)]["patient_id"].nunique()
    print(
        f"{centre}: {len(patients)} patients in {model.folds} folds × {model.repeats} repeats; {with_features} of them with "
        f"features, of {len(files)} slides; no slide is in {into}, and only its owner can read it."
    )
