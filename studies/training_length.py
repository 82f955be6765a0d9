"""How long to train: chosen on virtual cohorts of other seeds, never on the patients a study is about.

    python -m studies.training_length --out runs/training_length

simulates cohorts of the demo's size with the product's own stages (`sarcnet run … --upto 02_features`), trains every model
of notebooks 03 and 04 on each, and writes docs/training-length.md. A second group joins all these patients, of training
and validation series, to one cohort, whose size is near that of the published study's 611.

The rule (`RULE`) was set down before any of these cohorts was looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from sarcnet.cli.main import main as main_of_sarcnet
from sarcnet.cohort.incidence import pseudo_values
from sarcnet.cohort.outcome import Followup
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.readme import table as markdown_table
from sarcnet.compendium.study import Study
from sarcnet.evaluation.metrics.auc import auc
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.calibration import line
from sarcnet.federated.analysis.by_round import predict_rounds
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import write_hospital
from sarcnet.federated.settings import FederationSettings
from sarcnet.model.bags import read_bags
from sarcnet.model.crossval import make_folds, make_members, out_of_fold, training_weights
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.predict import TrainedStack, predict_risks
from sarcnet.model.protocol import Protocol
from sarcnet.model.settings import ModelSettings
from sarcnet.model.training.experiment import study_variants
from sarcnet.model.training.fitting import Variant, train_stack

SEEDS = (3101, 3102, 3103)
ROUNDS = (15, 20, 25, 30, 35, 40, 45, 50, 55, 60)
EPOCHS = (30, 40, 50, 60, 70, 80, 90, 100, 110, 120)
LENGTHS = {"demo": (ROUNDS, EPOCHS), "study": (ROUNDS[:4], EPOCHS[:4])}  # large cohorts take more steps in an epoch
SLOPE = (0.9, 1.1)
BRIER_MARGIN = 0.002
RULE = f"""**The rule**, fixed before these cohorts were looked at: of the lengths in the tables take the shortest at which, for
patients left out of training and in the mean over the cohorts,

- the calibration slope lies between {SLOPE[0]:g} and {SLOPE[1]:g}, and
- the Brier score at the horizon is at most {BRIER_MARGIN:g} above its smallest value over all lengths.
"""
FEDERATED, ALONE = "sarcnet_fedavg", "one hospital alone"


@dataclass(frozen=True)
class Cohort:
    """Patients with known outcome, their slides, and slide_id → feature file."""

    patients: pd.DataFrame
    slides: pd.DataFrame
    features: dict[str, Path]


def read_cohort(run: Path, *, series: Sequence[str] = ("training",), prefix: str = "") -> Cohort:
    """A run's patients of these series; prefix: put before every name, so that several cohorts can be joined."""
    tables = [pd.read_parquet(run / "00_cohort" / f"{name}.parquet") for name in series]
    patients = pd.concat(tables, ignore_index=True).dropna(subset=["mfs_months", "mfs_event"])
    slides = pd.read_parquet(run / "00_cohort" / "slides.parquet")[["slide_id", "patient_id"]]
    features = {prefix + path.stem: path for path in sorted((run / "02_features" / "features").glob("*.h5"))}
    named = patients.assign(patient_id=prefix + patients["patient_id"].astype(str)).reset_index(drop=True)
    return Cohort(named, prefix + slides.astype(str), features)


def joined(cohorts: Sequence[Cohort]) -> Cohort:
    """Several cohorts as one; their names must differ."""
    patients, slides = (pd.concat([getattr(c, n) for c in cohorts], ignore_index=True) for n in ("patients", "slides"))
    return Cohort(patients, slides, {name: path for c in cohorts for name, path in c.features.items()})


def train_all(
    cohort: Cohort,
    settings: ModelSettings,
    folder: Path,
    *,
    rounds: Sequence[int],
    epochs: Sequence[int],
    local_epochs: int,
    message_dtype: str,
) -> pd.DataFrame:
    """Every model at every length: model, length (rounds or epochs), slope, intercept, brier, auc, of out-of-fold risks.

    Args:
        folder: for the hospitals' folders and the finished rounds.
    """
    folds = make_folds(cohort.patients, folds=settings.folds, repeats=settings.repeats, seed=settings.seed)
    places = folder / "features"
    places.mkdir(parents=True, exist_ok=True)
    for name, path in cohort.features.items():
        (places / f"{name}.h5").symlink_to(path.resolve())
    bags = read_bags(sorted(places.glob("*.h5")), slides=cohort.slides, patient_ids=list(cohort.patients["patient_id"]))
    centres = sorted(set(cohort.patients["centre"]))
    protocol = Protocol.of(
        settings, outcome="metastasis", centres=centres, encoder=bags.encoder, feature_dim=bags.feature_dim
    )
    patients = assemble_patients(
        cohort.patients,
        bags=bags,
        clinical_variables=protocol.clinical_variables,
        hazard_edges_months=protocol.hazard_edges_months,
    )
    found = [
        pd.concat(
            [_by_epoch(protocol, patients, folds, variant, epochs) for variant in study_variants(tuple(centres))]
        ),
        _by_round(protocol, patients, folds, cohort, folder, rounds, local_epochs, message_dtype),
    ]
    return judge(pd.concat(found, ignore_index=True), cohort.patients, horizon_months=protocol.horizon_months)


def _by_epoch(
    protocol: Protocol, patients: Patients, folds: pd.DataFrame, variant: Variant, epochs: Sequence[int]
) -> pd.DataFrame:
    members = make_members(variant.name, folds=protocol.folds, repeats=protocol.repeats, centre=variant.centre)
    own = patients.of_centre(variant.centre) if variant.centre else patients
    weights = training_weights(folds, patient_ids=own.patient_ids, centres=own.centres, members=members)
    longest, frames = dataclasses.replace(protocol, epochs=max(epochs)), []

    def after(done: int, stack: object) -> None:
        if done in epochs:
            risks = predict_risks(TrainedStack(protocol, members, stack), patients)  # type: ignore[arg-type]
            ids, at = patients.patient_ids, patients.centres
            frames.append(
                out_of_fold(risks, folds=folds, patient_ids=ids, centres=at, members=members).assign(length=done)
            )

    train_stack(longest, own, weights=weights, members=members, variant=variant, after_epoch=after)
    return pd.concat(frames, ignore_index=True)


def _by_round(
    protocol: Protocol,
    patients: Patients,
    folds: pd.DataFrame,
    cohort: Cohort,
    folder: Path,
    rounds: Sequence[int],
    local_epochs: int,
    message_dtype: str,
) -> pd.DataFrame:
    tables = {"patients": cohort.patients, "slides": cohort.slides, "folds": folds}
    features = {name: (folder / "features" / f"{name}.h5").resolve() for name in cohort.features}
    hospitals = {
        c: write_hospital(folder / "hospitals" / c, centre=c, **tables, features=features) for c in protocol.centres
    }
    plan = FederationConfig(protocol, rounds=max(rounds), local_epochs=local_epochs, message_dtype=message_dtype)
    run = simulate(plan, hospitals=hospitals, rounds_folder=folder / "rounds", engine="inprocess")
    found = predict_rounds(run, patients, folds=folds)
    return found[found["round"].isin(rounds)].rename(columns={"round": "length"})


def judge(oof: pd.DataFrame, patients: pd.DataFrame, *, horizon_months: float) -> pd.DataFrame:
    """A row a model and length: slope, intercept, brier, auc of each patient's mean risk over the repeats."""
    mean = oof.groupby(["model", "length", "patient_id"], sort=False)["risk"].mean().unstack("patient_id")
    mean = mean[list(patients["patient_id"])]
    followup = Followup.of(patients)
    observed = pseudo_values(followup, horizon_months=horizon_months, competing=True)
    rows = []
    for (model, length), risk in zip(mean.index, mean.to_numpy(float), strict=True):
        slope, intercept = (line(risk, observed, slope=s, level=0.95).value for s in (True, False))
        scores = [measure(risk, followup, horizon_months=horizon_months) for measure in (brier, auc)]
        rows.append((model, length, slope, intercept, *scores))
    return pd.DataFrame(rows, columns=["model", "length", "slope", "intercept", "brier", "auc"])


def choose(table: pd.DataFrame) -> int | None:
    """The shortest length that keeps the rule of this module; None where none does. table: cohorts of one model."""
    mean = table.groupby("length")[["slope", "brier"]].mean()
    kept = mean["slope"].between(*SLOPE) & (mean["brier"] <= mean["brier"].min() + BRIER_MARGIN)
    return int(mean.index[kept].min()) if kept.any() else None


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the cohorts of a group, and over the hospitals for models of one hospital alone.

    Returns:
        group, model, length, cohorts, slope, slope_low, slope_high (its range), brier, auc, chosen (True at the length that
        the rule takes).
    """
    alone = table["model"].str.startswith("local_")
    table = table.assign(model=table["model"].mask(alone, ALONE))
    keys = ["group", "model", "length"]
    found = table.groupby(keys, sort=False, as_index=False).agg(
        cohorts=("slope", "size"),
        slope=("slope", "mean"),
        slope_low=("slope", "min"),
        slope_high=("slope", "max"),
        brier=("brier", "mean"),
        auc=("auc", "mean"),
    )
    taken = {key: choose(rows) for key, rows in table.groupby(["group", "model"])}
    found["chosen"] = [taken[row.group, row.model] == row.length for row in found.itertuples()]
    return found


def page(table: pd.DataFrame, *, seeds: Sequence[int], local_epochs: int, sizes: dict[str, str]) -> str:
    """docs/training-length.md. sizes: group → its patients, in words."""
    lines = [
        "# How long to train\n",
        "Written by `make training-length`; do not edit. Everything here is **simulated**: cohorts of "
        f"the seeds {', '.join(map(str, seeds))}, none of which is a profile's own.\n",
        RULE,
        f"A round has {local_epochs} local epochs. Equally many epochs are not equal progress: a hospital takes as many "
        "training steps in an epoch as it has batches, fewer than the pooled training, whose batches hold the patients of all "
        "hospitals; and AdamW is reset in each round.\n",
        "Each row is a mean over cohorts, of risks for patients left out, each the mean over the repeats; *range* is from the "
        "smallest slope of a cohort to the largest. A slope above 1 means risks that lie too close to each other.\n",
    ]
    found = summary(table)
    for group, rows in found.groupby("group", sort=False):
        lines.append(f"## {group}\n\n{sizes[group]}\n")
        for model, unsorted in rows.groupby("model", sort=False):
            own = unsorted.sort_values("length").astype({"length": int})
            what = "rounds" if model == FEDERATED else "epochs"
            taken = own.loc[own["chosen"], "length"]
            said = f"The rule takes **{taken.iloc[0]} {what}**." if len(taken) else _second_best(own, what)
            cells = [
                [
                    str(r.length),
                    f"{r.slope:.2f}",
                    f"{r.slope_low:.2f} to {r.slope_high:.2f}",
                    f"{r.brier:.4f}",
                    f"{r.auc:.3f}",
                ]
                for r in own.itertuples()
            ]
            columns = [what, "slope", "range", "Brier score", "AUC"]
            lines.append(f"### {model}\n\n{said}\n\n{markdown_table(columns, cells)}\n")
    return "\n".join(lines)


def _second_best(own: pd.DataFrame, what: str) -> str:
    """What is used where no length keeps the whole rule."""
    said = "No length keeps both parts of the rule."
    right = own.loc[own["slope"].between(*SLOPE), "length"]
    if right.empty:
        return f"{said} None of these has a slope between {SLOPE[0]:g} and {SLOPE[1]:g} either."
    return f"{said} The shortest that keeps the first is **{right.min()} {what}** (decided after the table was seen)."


def simulate_cohort(seed: int, folder: Path) -> Path:
    """A cohort of the demo's size and another seed, down to its tile features; returns its run folder.

    Raises:
        SarcnetError: a stage failed.
    """
    run = folder / f"run_{seed}"
    values = {"run_dir": str(run.resolve()), "cohort_dir": str((folder / f"cohort_{seed}").resolve()), "seed": seed}
    profile = folder / f"length_{seed}.yaml"
    with atomic_path(profile) as path:
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
    if main_of_sarcnet(["run", str(profile), "--upto", "02_features"]) not in (0, 3):
        raise SarcnetError(f"The cohort of seed {seed} was not made: see the messages above and {run}.")
    return run


def main(arguments: list[str] | None = None) -> int:
    """Simulate, train, choose, and write the page and its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/training_length"), help="folder for cohorts and table")
    parser.add_argument("--report", type=Path, default=Path("docs/training-length.md"), help="page to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--runs", type=Path, nargs="+", help="runs of the seeds that exist already, in their order")
    parser.add_argument(
        "--only", choices=["demo", "study"], help="train one group, keep the other's rows of an earlier call"
    )
    options = parser.parse_args(arguments)
    demo = Study.load("demo")
    model = demo.settings_for("03_model", ModelSettings)
    federation = demo.settings_for("04_federation", FederationSettings)
    runs = options.runs or [simulate_cohort(seed, options.out) for seed in options.seeds]
    named = list(zip(options.seeds, runs, strict=True))
    both = ("training", "validation")
    groups = {
        "demo": [(str(seed), read_cohort(run)) for seed, run in named],
        "study": [("joined", joined([read_cohort(run, series=both, prefix=f"{seed}-") for seed, run in named]))],
    }
    file = options.out / "training_length.parquet"
    earlier = pd.read_parquet(file) if options.only and file.exists() else pd.DataFrame({"group": []})
    frames = [earlier[earlier["group"] != options.only]]
    for group in [options.only] if options.only else list(groups):
        for name, cohort in groups[group]:
            with tempfile.TemporaryDirectory(prefix="sarcnet-length-") as folder:
                found = train_all(
                    cohort,
                    model,
                    Path(folder),
                    rounds=LENGTHS[group][0],
                    epochs=LENGTHS[group][1],
                    local_epochs=federation.local_epochs,
                    message_dtype=federation.message_dtype,
                )
            frames.append(found.assign(group=group, cohort=name))
            print(f"{group}, {name}\n{found.round(3).to_string(index=False)}", flush=True)
    table = pd.concat(frames, ignore_index=True).sort_values("group", kind="stable", ignore_index=True)
    with atomic_path(file) as path:
        table.to_parquet(path, index=False)
    sizes = {
        group: f"{len(cohorts)} cohort{'s' if len(cohorts) > 1 else ''}: "
        + "; ".join(
            ", ".join(f"{n} patients of {c}" for c, n in cohort.patients.groupby("centre").size().items())
            for _, cohort in cohorts[:1]
        )
        + (" each." if len(cohorts) > 1 else ", training and validation series of the cohorts above joined.")
        for group, cohorts in groups.items()
    }
    with atomic_path(options.report) as path:
        path.write_text(
            page(table, seeds=options.seeds, local_epochs=federation.local_epochs, sizes=sizes), encoding="utf-8"
        )
    print(f"Written: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
