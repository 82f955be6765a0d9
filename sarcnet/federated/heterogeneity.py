"""How far federated training bears hospitals that differ: their number, their sizes, their stains, their patients.

    python -m sarcnet.federated.heterogeneity --out runs/heterogeneity

No slide is rendered, which would take hours: tile features are drawn directly, as *simulated feature bags*. A patient
has a severity; some of the 16 features of the patient's tiles rise with it, tumour size does a little, and the hazard of
metastasis is exponential in it. Three knobs make hospitals differ: every hospital adds its own constant to all its
features (stain), draws its severities around its own mean (case mix), or has more or fewer patients (imbalance). Each
point is the mean of some cohorts of the same total size, with the network, the losses and the Flower app of the study.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from sarcnet.compendium.faults import Faults
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.auc import Followup, auc
from sarcnet.federated.heldout import predict_out_of_fold
from sarcnet.federated.hospital import write_hospital
from sarcnet.federated.plan import Plan
from sarcnet.federated.recipe import recipe
from sarcnet.federated.simulation import simulate
from sarcnet.model.bags import read_bags
from sarcnet.model.crossval import make_folds
from sarcnet.model.experiment import Variant, cross_validate
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol

FEATURES, TILES = 16, 6
MODELS = ("pooled", "fedavg", "fedprox", "local")
KNOBS = {
    "hospitals": (2, 4, 6, 10),
    "imbalance": (0.5, 0.7, 0.9),
    "stain": (0.0, 2.0, 5.0),
    "case_mix": (0.0, 1.0, 2.0),
}
LABELS = {
    "hospitals": "number of hospitals\n",
    "imbalance": "share of patients at\nthe larger of two hospitals",
    "stain": "stain shift of two hospitals,\nSD of a feature's noise",
    "case_mix": "difference in mean severity\nof two hospitals, SD",
}


@dataclass(frozen=True)
class World:
    """One setting of the knobs. patients: of all hospitals; hospitals: 2 to 10; imbalance: share of the first hospital,
    the others share the rest alike (0: all alike); stain: length of a hospital's constant, per feature, in SD of a
    tile's noise; case_mix: distance of the extreme hospitals' mean severities, in SD of severity."""

    patients: int = 240
    hospitals: int = 2
    imbalance: float = 0.0
    stain: float = 0.0
    case_mix: float = 0.0

    def __post_init__(self) -> None:
        faults = Faults()
        if not 2 <= self.hospitals <= 10:
            faults.add(f"hospitals is {self.hospitals}: give 2 to 10.")
        if not 0 <= self.imbalance < 1:
            faults.add(f"imbalance is {self.imbalance}: give the largest hospital's share, below 1.")
        if min(self.sizes(), default=0) < 20:
            faults.add(
                f"The smallest hospital has {min(self.sizes(), default=0)} patients: 20 are needed for two folds."
            )
        faults.raise_if_any("These hospitals cannot be simulated")

    def sizes(self) -> list[int]:
        """Patients of each hospital."""
        first = round(self.patients * (self.imbalance or 1 / max(self.hospitals, 1)))
        rest = np.array_split(np.arange(self.patients - first), max(self.hospitals - 1, 1))
        return [first, *(len(part) for part in rest)]


@dataclass(frozen=True)
class Cohort:
    """Tables and feature files of one simulated cohort."""

    table: pd.DataFrame
    slides: pd.DataFrame
    features: dict[str, Path]


def make_cohort(world: World, folder: Path, *, seed: int) -> Cohort:
    """Draw patients, outcomes and tile features; a hospital's draws depend on the seed and its number only."""
    direction = rng(seed, "direction").normal(size=FEATURES) / np.sqrt(FEATURES)
    means = np.linspace(-0.5, 0.5, world.hospitals) * world.case_mix
    rows, features = [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for h, size in enumerate(world.sizes()):
        centre = f"H{h:02d}"
        generator = rng(seed, "hospital", h)
        shift = generator.normal(size=FEATURES) * world.stain
        for i in range(size):
            severity = generator.normal() + means[h]
            tiles = 1.5 * severity * direction + shift + generator.normal(size=(TILES, FEATURES))
            name = f"{centre}-{i:03d}"
            features[name] = folder / f"{name}.h5"
            with h5py.File(features[name], "w") as file:
                file["features"] = tiles.astype(np.float32)
                file["coords"] = np.zeros((TILES, 2), np.int64)
                file.attrs["encoder"] = "simulated"
            months, lost = generator.exponential(110 * np.exp(-severity)), generator.uniform(40, 140)
            row = {"patient_id": name, "centre": centre, "size_mm": 80 + 20 * (0.5 * severity + generator.normal())}
            rows.append(row | {"mfs_months": min(months, lost), "mfs_event": int(months <= lost)})
    table = pd.DataFrame(rows)
    return Cohort(table, pd.DataFrame({"slide_id": table["patient_id"], "patient_id": table["patient_id"]}), features)


def protocol_of(table: pd.DataFrame, *, epochs: int, seed: int) -> Protocol:
    """The study's network, smaller, under two folds."""
    return Protocol(
        seed=seed,
        folds=2,
        repeats=1,
        centres=tuple(sorted(set(table["centre"]))),
        clinical_variables=("size_mm",),
        hazard_edges_months=(12.0, 24.0, 36.0, 60.0),
        horizon_months=60.0,
        encoder="simulated",
        feature_dim=FEATURES,
        embedding_dim=8,
        epochs=epochs,
        batch_patients=32,
        learning_rate=0.01,
        weight_decay=0.1,
        attention_dim=4,
        tiles_per_bag=0,
        embedding_rate=1.0,
    )


def judge(world: World, folder: Path, *, rounds: int, local_epochs: int, seed: int) -> dict[str, float]:
    """Out-of-fold AUC at 60 months over all hospitals' patients, by model; local: mean over the hospitals' own models."""
    cohort = make_cohort(world, folder / "features", seed=seed)
    protocol = protocol_of(cohort.table, epochs=rounds * local_epochs, seed=seed)
    folds = make_folds(cohort.table, folds=protocol.folds, repeats=protocol.repeats, seed=seed)
    patients = _patients(cohort, protocol)
    tables = {"patients": cohort.table, "slides": cohort.slides, "folds": folds, "features": cohort.features}
    hospitals = {c: write_hospital(folder / "hospitals" / c, centre=c, **tables) for c in protocol.centres}
    found: dict[str, float] = {}
    for name in ("fedavg", "fedprox"):
        plan = Plan(protocol, rounds=rounds, local_epochs=local_epochs, recipe=recipe(name), model=name)
        run = simulate(plan, hospitals=hospitals, rounds_folder=folder / "rounds", engine="inprocess")
        found[name] = _auc(predict_out_of_fold(run.model, patients, folds=folds), cohort.table)
    variants = [Variant("pooled"), *(Variant(f"local_{c}", centre=c) for c in protocol.centres)]
    areas = [
        _auc(cross_validate(protocol, patients=patients, folds=folds, variant=v).oof, cohort.table) for v in variants
    ]
    return {"pooled": areas[0], **found, "local": float(np.mean(areas[1:]))}


def _patients(cohort: Cohort, protocol: Protocol) -> Patients:
    bags = read_bags(cohort.features.values(), slides=cohort.slides, patient_ids=list(cohort.table["patient_id"]))
    return assemble_patients(
        cohort.table,
        bags=bags,
        clinical_variables=protocol.clinical_variables,
        hazard_edges_months=protocol.hazard_edges_months,
    )


def _auc(oof: pd.DataFrame, table: pd.DataFrame) -> float:
    known = oof.drop(columns="centre").merge(table, on="patient_id", validate="1:1")
    followup = Followup(*(known[c].to_numpy() for c in ("mfs_months", "mfs_event", "centre")))
    return auc(known["risk"].to_numpy(), followup, horizon_months=60.0)


def sweep(
    knobs: dict[str, Sequence[float]], *, base: World, cohorts: int, rounds: int, local_epochs: int, seed: int
) -> pd.DataFrame:
    """A row a knob, value, cohort and model: knob, value, cohort, model, auc."""
    rows = []
    for knob, values in knobs.items():
        for value in values:
            turned: dict[str, Any] = {knob: int(value) if knob == "hospitals" else value}
            world = dataclasses.replace(base, **turned)
            for cohort in range(cohorts):
                with tempfile.TemporaryDirectory(prefix="sarcnet-heterogeneity-") as folder:
                    settings = {"rounds": rounds, "local_epochs": local_epochs, "seed": seed + cohort}
                    areas = judge(world, Path(folder), **settings)
                rows += [
                    {"knob": knob, "value": float(value), "cohort": cohort, "model": model, "auc": area}
                    for model, area in areas.items()
                ]
                said = ", ".join(f"{model} {area:.3f}" for model, area in areas.items())
                print(f"{knob} {value:g}, cohort {cohort + 1} of {cohorts}: {said}", flush=True)
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """AUC minus the pooled model's on the same cohort: knob, value, model, cohorts, auc, difference, low, high.

    auc and difference are means over cohorts, low and high the 95 % interval of the difference by Student's t over
    cohorts, NaN for a single one.
    """
    pooled = table[table["model"] == "pooled"].rename(columns={"auc": "pooled"}).drop(columns="model")
    paired = table.merge(pooled, on=["knob", "value", "cohort"], validate="m:1")
    paired["difference"] = paired["auc"] - paired["pooled"]
    found = paired.groupby(["knob", "value", "model"], sort=False, as_index=False).agg(
        cohorts=("auc", "size"), auc=("auc", "mean"), difference=("difference", "mean"), spread=("difference", "std")
    )
    half = student.ppf(0.975, found["cohorts"] - 1) * found["spread"] / np.sqrt(found["cohorts"])
    return found.assign(low=found["difference"] - half, high=found["difference"] + half).drop(columns="spread")


STYLES = {
    "pooled": ("#000000", "-", "pooled"),
    "fedavg": ("#0072B2", "-", "FedAvg"),
    "fedprox": ("#56B4E9", "--", "FedProx"),
    "local": ("#D55E00", ":", "alone (mean of the hospitals)"),
}


def draw_heterogeneity(table: pd.DataFrame, *, patients: int) -> Figure:
    """A column a knob: above the AUC of every model, mean over cohorts; below its difference from pooled on the same
    cohorts, with intervals."""
    knobs = list(dict.fromkeys(table["knob"]))
    summary, cohorts = differences(table), table["cohort"].nunique()
    size = (3.4 * len(knobs), 6.4)
    fig, axes = plt.subplots(2, len(knobs), figsize=size, sharey="row", squeeze=False, layout="constrained")
    for column, knob in enumerate(knobs):
        for number, model in enumerate(MODELS):
            own = summary[(summary["knob"] == knob) & (summary["model"] == model)].sort_values("value")
            span = own["value"].max() - own["value"].min() or 1.0
            place = own["value"] + (number - 1.5) * 0.012 * span
            colour, line, label = STYLES[model]
            style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3, "label": label}
            half = (own["high"] - own["difference"]).fillna(0.0)
            axes[0][column].errorbar(place, own["auc"], **style)
            axes[1][column].errorbar(place, own["difference"], yerr=half, **style)
        for ax in axes[:, column]:
            ax.set(xlabel=LABELS[knob])
            ax.set_xticks(sorted(set(table.loc[table["knob"] == knob, "value"])))
            ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("AUC at 60 months, out of fold")
    axes[1][0].set_ylabel("AUC minus pooled, 95 % interval")
    fig.suptitle(
        f"Simulated feature bags, n = {patients} patients in all, mean of {cohorts} cohorts a point", fontsize="medium"
    )
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return fig


def main(arguments: list[str] | None = None) -> int:
    """Sweep, draw, and write heterogeneity.png, .json and .parquet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/heterogeneity"), help="folder for figure and table")
    parser.add_argument("--knobs", nargs="+", choices=list(KNOBS), default=list(KNOBS), help="which knobs to turn")
    parser.add_argument(
        "--redraw", type=Path, nargs="+", help="draw the tables (parquet) of earlier runs, train nothing"
    )
    parser.add_argument("--cohorts", type=int, default=4, help="cohorts for each point")
    parser.add_argument("--patients", type=int, default=240, help="patients of all hospitals together")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--local-epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2025)
    options = parser.parse_args(arguments)
    base = World(patients=options.patients)
    if options.redraw:
        table = pd.concat([pd.read_parquet(path) for path in options.redraw], ignore_index=True)
    else:
        table = sweep(
            {knob: KNOBS[knob] for knob in options.knobs},
            base=base,
            cohorts=options.cohorts,
            rounds=options.rounds,
            local_epochs=options.local_epochs,
            seed=options.seed,
        )
    print(differences(table).to_string(index=False, float_format="%.3f"))
    fig = draw_heterogeneity(table, patients=options.patients)
    with atomic_path(options.out / "heterogeneity.png") as path:
        fig.savefig(path, dpi=150)
    with atomic_path(options.out / "heterogeneity.parquet") as path:
        table.to_parquet(path, index=False)
    write_json(options.out / "heterogeneity.json", {"data_kind": "simulated", "rows": table.to_dict("records")})
    print(f"Drawn: {options.out / 'heterogeneity.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
