"""How far federated training bears hospitals that differ: their number, their sizes, their stains, their patients.

    python -m studies.heterogeneity --out runs/heterogeneity

No slide is rendered, which would take hours: tile features are drawn directly, as *simulated feature bags*; how, and by
which knobs hospitals differ, is told in `studies.feature_bags`. Each point is the mean of some cohorts of the same total
size, with the network, the losses and the Flower app of the study.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.bags import read_bags
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.predict import predict_out_of_fold
from sarcnet.model.protocol import Protocol
from sarcnet.model.training.experiment import Variant, cross_validate
from studies.feature_bags import Cohort, SimulatedSites, write_cohort

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


def judge(world: SimulatedSites, folder: Path, *, rounds: int, local_epochs: int, seed: int) -> dict[str, float]:
    """Out-of-fold AUC at 60 months over all hospitals' patients, by model; local: mean over the hospitals' own models."""
    drawn = write_cohort(world, folder, epochs=rounds * local_epochs, seed=seed)
    cohort, protocol, folds = drawn.cohort, drawn.protocol, drawn.folds
    patients = _patients(cohort, protocol)
    found: dict[str, float] = {}
    for name in ("fedavg", "fedprox"):
        plan = FederationConfig(
            protocol, rounds=rounds, local_epochs=local_epochs, strategy=strategy_config(name), model=name
        )
        run = simulate(plan, hospitals=drawn.hospitals, rounds_folder=folder / "rounds", engine="inprocess")
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
    return auc(known["risk"].to_numpy(), Followup.of(known), horizon_months=60.0)


def sweep(
    knobs: dict[str, Sequence[float]], *, base: SimulatedSites, cohorts: int, rounds: int, local_epochs: int, seed: int
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
    base = SimulatedSites(patients=options.patients)
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
