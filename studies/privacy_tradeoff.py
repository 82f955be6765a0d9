"""What privacy costs: AUC against ε, for noise at the server (unit: hospital) and at the hospital (unit: patient).

    python -m studies.privacy_tradeoff --run runs/demo

trains the model of a finished notebook 04 again, with clipping and noise, for several noise multipliers, and draws the
out-of-fold AUC over the ε that the accountant gives. Clip norms and step length are fixed beforehand, not tuned here: tuning
on the same patients would itself have to be paid for. ε counts one network; standardisation and starting hazard are
sums without noise and are not covered (see `sarcnet.federated.privacy.dp_sgd`).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.federated.app.strategy import weighted_mean
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import Hospital, read_folds, read_hospital, read_outcome
from sarcnet.federated.privacy.accountant import spent
from sarcnet.federated.privacy.dp_sgd import private_step
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.predict import TrainedStack, predict_out_of_fold
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from studies.local_federation.run import plan_of_run

DELTA = 1e-3  # below one over the number of patients of the demo cohort
HOSPITAL_CLIP = 1.0  # L2 norm of a hospital's change of one network in one round
PATIENT_CLIP = 1.0  # L2 norm of a patient's gradient
STEP_LENGTH = 1.0
NOISE = {"hospital": (0.0, 0.1, 1.0, 10.0), "patient": (0.0, 1.0, 3.0, 10.0, 30.0)}


@dataclass(frozen=True)
class Study:
    """What is trained and judged: a plan, its hospitals' folders, all tables."""

    plan: FederationConfig
    folders: dict[str, Path]
    hospitals: dict[str, Hospital]
    folds: pd.DataFrame
    outcome: pd.DataFrame

    def auc(self, model: TrainedStack) -> float:
        """Out-of-fold AUC at the horizon over all hospitals' patients, mean over repeats."""
        frames = [predict_out_of_fold(model, h.patients, folds=self.folds) for h in self.hospitals.values()]
        known = pd.concat(frames).merge(self.outcome.drop(columns="centre"), on="patient_id")
        each = [
            auc(rows["risk"].to_numpy(), Followup.of(rows), horizon_months=self.plan.protocol.horizon_months)
            for _, rows in known.groupby("repeat")
        ]
        return float(np.mean(each))


def read_study(run: Path) -> Study:
    """Plan, folders and tables of a finished notebook 04."""
    plan, folders, _ = plan_of_run(run)
    return Study(
        plan,
        folders,
        {name: read_hospital(folder, protocol=plan.protocol) for name, folder in folders.items()},
        pd.concat([read_folds(f) for f in folders.values()], ignore_index=True),
        pd.concat([read_outcome(f) for f in folders.values()], ignore_index=True),
    )


def hospital_noise(study: Study, noise_multiplier: float, rounds_folder: Path) -> TrainedStack:
    """FedAvg whose server clips each hospital's change and adds noise to the mean."""
    chosen = strategy_config(
        "fedavg", clip_norm=HOSPITAL_CLIP, noise_multiplier=noise_multiplier, noise_seed=study.plan.protocol.seed
    )
    plan = dataclasses.replace(study.plan, strategy=chosen)
    return simulate(plan, hospitals=study.folders, rounds_folder=rounds_folder, engine="inprocess").model


def patient_noise(study: Study, noise_multiplier: float) -> TrainedStack:
    """One clipped and noised step a round at every hospital, averaged by patients."""
    plan = study.plan
    stack = build_stack(plan.protocol, members=plan.members)
    sums = [training_statistics(h.patients, weights=h.weights) for h in study.hospitals.values()]
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    apply_statistics(stack, total)
    patients = [h.weights.sum(axis=0) for h in study.hospitals.values()]
    for number in range(1, plan.rounds * plan.local_epochs + 1):
        start, trained = stack.parameter_arrays(), []
        for name, hospital in study.hospitals.items():
            stack.load_parameter_arrays(start)
            private_step(
                stack,
                hospital.patients,
                weights=hospital.weights,
                clip_norm=PATIENT_CLIP,
                noise_multiplier=noise_multiplier,
                step_length=STEP_LENGTH,
                seed=plan.protocol.seed,
                names=(name, number),
            )
            trained.append(stack.parameter_arrays())
        stack.load_parameter_arrays(weighted_mean(trained, patients=patients))
    return TrainedStack(plan.protocol, plan.members, stack.eval())


def trade_off(study: Study, *, rounds_folder: Path, noise: dict[str, Sequence[float]]) -> pd.DataFrame:
    """A row a unit and noise multiplier: unit, noise_multiplier, releases, epsilon (infinite without noise), delta,
    auc."""
    rows = []
    for unit, multipliers in noise.items():
        releases = study.plan.rounds * (1 if unit == "hospital" else study.plan.local_epochs)
        for z in multipliers:
            model = hospital_noise(study, z, rounds_folder) if unit == "hospital" else patient_noise(study, z)
            epsilon = spent(noise_multiplier=z, releases=releases, delta=DELTA, unit=unit).epsilon if z else np.inf
            about = {"unit": unit, "noise_multiplier": z, "releases": releases, "epsilon": epsilon, "delta": DELTA}
            rows.append(about | {"auc": study.auc(model)})
            print(f"{unit}: noise multiplier {z:g}, ε {epsilon:.3g} at δ {DELTA:g}, AUC {rows[-1]['auc']:.3f}")
    return pd.DataFrame(rows)


def draw_trade_off(table: pd.DataFrame, *, plain_auc: float, title: str) -> Figure:
    """AUC over ε, one line a unit; without noise as dashes, without clipping either as a dotted line."""
    fig, ax = plt.subplots(figsize=(6.8, 4.4), layout="constrained")
    colours = {"hospital": "#D55E00", "patient": "#0072B2"}
    words = {"hospital": "hospital (noise at the server)", "patient": "patient (noise at the hospital)"}
    for unit, rows in table.groupby("unit", sort=False):
        noisy = rows[np.isfinite(rows["epsilon"])]
        ax.plot(noisy["epsilon"], noisy["auc"], marker="o", color=colours[str(unit)], label=f"unit: {words[str(unit)]}")
        for quiet in rows.loc[~np.isfinite(rows["epsilon"]), "auc"]:
            ax.axhline(
                quiet, color=colours[str(unit)], linestyle="--", linewidth=1, label="  the same without noise: no ε"
            )
    ax.axhline(plain_auc, color="black", linestyle=":", linewidth=1, label="FedAvg as in notebook 04: no ε")
    ax.axhline(0.5, color="#7F7F7F", linewidth=0.8)
    ax.annotate("a coin", (0.99, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="small")
    ax.set(xscale="log", xlabel=f"ε of one network at δ = {DELTA:g} (smaller: more private)", ylabel="AUC, out of fold")
    ax.set_title(title, fontsize="medium")
    ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return fig


def main(arguments: list[str] | None = None) -> int:
    """Train, draw, and write tradeoff.png, .json and .parquet beside the run's notebook 04."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="folder of a run with notebook 04 done")
    parser.add_argument("--out", type=Path, help="folder for the figure (default: RUN/04_federation_tradeoff)")
    options = parser.parse_args(arguments)
    out = options.out or options.run / "04_federation_tradeoff"
    try:
        study = read_study(options.run)
        table = trade_off(study, rounds_folder=out / "rounds", noise=dict(NOISE))
        plain = simulate(study.plan, hospitals=study.folders, rounds_folder=out / "rounds", engine="inprocess").model
    except SarcnetError as error:
        print(error, file=sys.stderr)
        return 1
    plain_auc = study.auc(plain)
    n, members = len(study.outcome), len(study.plan.members)
    kind = read_kind(options.run)
    fig = draw_trade_off(
        table,
        plain_auc=plain_auc,
        title=f"The price of privacy, {kind} patients: n = {n}, {members} networks, one seed",
    )
    with atomic_path(out / "tradeoff.png") as path:
        fig.savefig(path, dpi=150)
    with atomic_path(out / "tradeoff.parquet") as path:
        table.to_parquet(path, index=False)
    rows = table.replace({np.inf: None}).to_dict("records")
    write_json(out / "tradeoff.json", {"rows": rows, "plain_auc": plain_auc, "n": n, "data_kind": kind})
    print(f"Drawn: {out / 'tradeoff.png'}")
    return 0


def read_kind(run: Path) -> str:
    """Kind of the run's data, as its stage says: simulated, public or private."""
    import json

    return str(json.loads((run / "04_federation" / "stage.json").read_text(encoding="utf-8"))["data_kind"])


if __name__ == "__main__":
    sys.exit(main())
