"""`sarcnet hospital lay` and `sarcnet federation plan`: what hospitals and the coordinating site prepare for a federation.

A hospital lays its folder from its own finished notebooks 00 and 02. Its folds hang on its own patients and the profile
alone, so every hospital deals them by itself. The plan is the profile and the hospitals' names: it needs no patient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sarcnet.cohort.endpoint import FILE as OUTCOME_FILE
from sarcnet.cohort.endpoint import read_endpoint
from sarcnet.cohort.settings import CohortSettings
from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import HashBook, atomic_path
from sarcnet.compendium.freshness import Records
from sarcnet.compendium.params import AnySettings, validated
from sarcnet.compendium.paths import resolve, shown
from sarcnet.compendium.study import Study
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.settings import FeaturesSettings
from sarcnet.federated.engines.deployed_server import run_config
from sarcnet.federated.hospital_folder import write_hospital
from sarcnet.federated.plan import FederationConfig
from sarcnet.federated.settings import FederationSettings
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.crossval import make_folds
from sarcnet.model.protocol import Protocol
from sarcnet.model.settings import ModelSettings

NEEDED = ("00_cohort", "02_features")
#: All that may be in a hospital's folder; one that holds anything else is not overwritten.
CONTENT = {OUTCOME_FILE, "patients.parquet", "folds.parquet", "slides.parquet", "features", "error.txt"}


def run_lay(study: Study, *, centre: str | None, into: Path) -> int:
    """Lay a hospital's folder from this run, afresh, for its owner's eyes only; features are copied.

    centre: name of the hospital; None where the run has one only.

    Raises:
        SarcnetError: a notebook has not finished or is stale, another centre or none is named, the folder holds something
            else, or the patients do not fill the folds.
    """
    known = Records(study.run_dir, HashBook(study.run_dir / "hashes.json"))
    faults = ErrorCollector()
    for name in NEEDED:
        if stale := known.stale_upstream(name):
            stage, reason = stale
            faults.add(
                f"{stage} of {shown(study.run_dir)} would run, because {reason}: run `sarcnet run {study.profile} --upto "
                f"{NEEDED[-1]}`."
            )
    if into.is_dir() and (others := sorted(path.name for path in into.iterdir() if path.name not in CONTENT)):
        faults.add(f"{into} holds {others[0]}, which is no part of a hospital's folder: name a new or empty folder.")
    faults.raise_if_any("The hospital's folder cannot be laid")
    outputs = {
        key: resolve(output["path"]) for name in NEEDED for key, output in (known.get(name) or {})["outputs"].items()
    }
    training = pd.read_parquet(outputs["training.parquet"]).dropna(subset=["mfs_months", "mfs_event"])
    centres = sorted(training["centre"].unique())
    if centre is None and len(centres) == 1:
        (centre,) = centres
    if centre is None or centre not in centres:
        raise SarcnetError(
            f"{shown(study.run_dir)} has patients of {', '.join(centres)}, not of '{centre or ''}': name one with --centre."
        )
    own = training[training["centre"] == centre].reset_index(drop=True)
    slides = pd.read_parquet(outputs["slides.parquet"])
    model = settings(study, "03_model", ModelSettings)
    write_hospital(
        into,
        centre=centre,
        patients=own,
        slides=slides,
        folds=make_folds(own, folds=model.folds, repeats=model.repeats, seed=model.seed),
        features={path.stem: path for key, path in outputs.items() if key.startswith("features/")},
        outcome=read_endpoint(outputs[OUTCOME_FILE]).name,
        link=False,  # whoever changes the folder's owner must not change the run's
    )
    for path in (into, *into.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    laid = pd.read_parquet(into / "slides.parquet")
    files = {path.stem for path in (into / "features").iterdir()}
    seen = laid[laid["slide_id"].isin(files)]["patient_id"].nunique()
    print(
        f"{centre}: {len(own)} patients in {model.folds} folds × {model.repeats} repeats; {seen} of them with "
        f"features, of {len(files)} slides; no slide is in {into}, and only its owner can read it."
    )
    return 0


def run_plan(
    study: Study,
    *,
    hospitals: Sequence[str],
    out: str,
    into: Path,
    strategy: str,
    secure_sum: bool,
    deadline_s: float,
    start_deadline_s: float,
) -> int:
    """Write the settings of `flwr run` as TOML. out: folder for the result, on the SuperLink's machine.

    Raises:
        SarcnetError: a strategy or encoder that does not exist, settings that do not go together, hospitals named twice.
    """
    federation = settings(study, "04_federation", FederationSettings)
    plan = FederationConfig(
        make_protocol(study, hospitals=hospitals),
        rounds=federation.rounds,
        local_epochs=federation.local_epochs,
        deadline_s=deadline_s,
        start_deadline_s=start_deadline_s,
        recipe=strategy_config(strategy),
        message_dtype="float32" if secure_sum else federation.message_dtype,
        secure_sum=secure_sum,
    )
    if not out.startswith("/"):
        raise SarcnetError(
            f"--out is {out}: give a full path on the SuperLink's machine, for example /srv/sarcnet/out."
        )
    # A JSON text is a TOML text, and so are JSON's numbers, true and false.
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in run_config(plan, out=Path(out)).items()]
    with atomic_path(into) as path:
        path.write_text("".join(lines), encoding="utf-8")
    print(
        f"{into}: {', '.join(plan.hospitals)}; {plan.rounds} rounds × {plan.local_epochs} local epochs of {plan.recipe.name}, "
        f"{len(plan.members)} networks, {plan.message_dtype}{', secure sum' if secure_sum else ''}; the result goes to {out}."
    )
    return 0


def make_protocol(study: Study, *, hospitals: Sequence[str]) -> Protocol:
    """The protocol of a profile, as notebook 03 makes it of these hospitals' patients.

    Raises:
        SarcnetError: hospitals named twice, an unknown encoder, or settings that do not go together.
    """
    if len(set(hospitals)) < len(hospitals):
        raise SarcnetError(f"The hospitals are {', '.join(hospitals)}: name each once.")
    encoder = encoder_named(settings(study, "02_features", FeaturesSettings).encoder)
    model = settings(study, "03_model", ModelSettings)
    outcome = settings(study, "00_cohort", CohortSettings).outcome
    return Protocol.of(model, outcome=outcome, centres=hospitals, encoder=encoder.name, feature_dim=encoder.dim)


def settings(study: Study, stage: str, kind: type[AnySettings]) -> AnySettings:
    """What a notebook runs with under the study's profile."""
    (notebook,) = (notebook for notebook in study.notebooks if notebook.name == stage)
    return validated(kind, study.parameters(notebook))
