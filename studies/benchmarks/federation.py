"""What does federating cost? `python -m studies.benchmarks.federation --run runs/demo` trains the plan of a finished
notebook 04
twice, pooled and federated, all folds and repeats, and prints the ratio.

Both train here, one after the other, in this process: the federation without Ray, whose start is no part of the question
(notebook 04 states it apart). The models are those of the notebook; nothing is written into the run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.paths import resolve
from sarcnet.federated.engines.simulation import simulate
from sarcnet.model.bags import read_bags
from sarcnet.model.crossval import make_members, training_weights
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.threads import one_thread
from sarcnet.model.training.lightning_module import fit
from studies.local_federation.run import plan_of_run

TARGET = 2.0  # times the pooled training


def pooled_patients(run: Path, protocol: Protocol) -> Patients:
    """The training series of a run with bags, as notebook 03 assembles it."""
    table = pd.read_parquet(run / "00_cohort" / "training.parquet").dropna(subset=["mfs_months", "mfs_event"])
    slides = pd.read_parquet(run / "00_cohort" / "slides.parquet")
    own = set(slides.loc[slides["patient_id"].isin(table["patient_id"]), "slide_id"])
    files = [path for path in sorted((run / "02_features" / "features").glob("*.h5")) if path.stem in own]
    bags = read_bags(files, slides=slides, patient_ids=list(table["patient_id"]))
    return assemble_patients(
        table.reset_index(drop=True),
        bags=bags,
        clinical_variables=protocol.clinical_variables,
        hazard_edges_months=protocol.hazard_edges_months,
    )


def pooled_seconds(run: Path, protocol: Protocol) -> float:
    """Seconds of statistics and training of all networks on all patients in one place."""
    patients = pooled_patients(run, protocol)
    dealt = pd.read_parquet(run / "03_model" / "folds.parquet")
    members = make_members("sarcnet_pooled", folds=protocol.folds, repeats=protocol.repeats)
    weights = training_weights(dealt, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    begin = time.perf_counter()
    stack = build_stack(protocol, members=members)
    with one_thread():  # as a hospital computes
        apply_statistics(stack, training_statistics(patients, weights=weights))
    fit(stack, patients, weights=weights, protocol=protocol)
    return time.perf_counter() - begin


def measure(run: Path) -> pd.DataFrame:
    """training, seconds: pooled, then federated with the same number of views of each patient."""
    plan, hospitals, _ = plan_of_run(run)
    pooled = pooled_seconds(run, plan.protocol)
    with tempfile.TemporaryDirectory() as folder:
        found = simulate(plan, hospitals=hospitals, rounds_folder=Path(folder), engine="inprocess")
    federated = found.seconds["statistics"] + found.seconds["rounds"]
    return pd.DataFrame({"training": ["pooled", "federated"], "seconds": [pooled, federated]})


def main(arguments: list[str] | None = None) -> int:
    """Print the table and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", default="runs/demo", help="folder of a run with notebook 04 done")
    try:
        table = measure(resolve(parser.parse_args(arguments).run))
    except (SarcnetError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    pooled, federated = table["seconds"]
    print(table.round(1).to_string(index=False))
    print(f"federated / pooled: {federated / pooled:.2f} (target: at most {TARGET:g})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
