"""FedAvg + local fine-tuning: the last epochs of the budget each hospital trains on its own, and keeps the result.

After R - f rounds of a federation every hospital starts from the common model and trains f rounds' worth of epochs on
its own patients (Wang et al., arXiv 1910.10252; Yu et al., arXiv 2002.04758). Its own model never leaves: nothing is
sent. Held-out patients of a hospital are predicted by that hospital's own model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, copy_network, predict_out_of_fold


def shortened(plan: FederationConfig, *, rounds_at_home: int) -> FederationConfig:
    """The plan of the common part; raises SarcnetError when no common round would be left."""
    if not 0 < rounds_at_home < plan.rounds:
        raise SarcnetError(
            f"rounds_at_home is {rounds_at_home}: give 1 to {plan.rounds - 1} of the {plan.rounds} rounds."
        )
    return dataclasses.replace(plan, rounds=plan.rounds - rounds_at_home)


def fine_tune(
    common: TrainedStack, *, folder: Path, plan: FederationConfig, rounds_at_home: int, model: str
) -> TrainedStack:
    """One hospital's own model: the common one, trained on for ``rounds_at_home`` rounds' worth of epochs.

    folder: the hospital's; plan: the whole plan, whose last rounds these are; model: name of the members.
    """
    from sarcnet.model.training.lightning_module import fit

    hospital = read_hospital(folder, protocol=plan.protocol)
    network = copy_network(common)
    fit(
        network,
        hospital.patients,
        weights=hospital.weights,
        protocol=plan.protocol,
        epochs=rounds_at_home * plan.local_epochs,
        first_epoch=(plan.rounds - rounds_at_home) * plan.local_epochs,
    )
    members = tuple(dataclasses.replace(member, model=model) for member in common.members)
    return TrainedStack(common.protocol, members, network.eval())


def predict_at_home(models: Mapping[str, TrainedStack], patients: Patients, *, folds: pd.DataFrame) -> pd.DataFrame:
    """Out-of-fold predictions of every hospital's patients by their own hospital's model: as
    `sarcnet.model.predict.predict_out_of_fold`."""
    frames = [
        predict_out_of_fold(model, patients.of_centre(centre), folds=folds) for centre, model in sorted(models.items())
    ]
    return pd.concat(frames, ignore_index=True).sort_values(["model", "repeat", "patient_id"], ignore_index=True)
