"""Other strategies under the same budget, for comparison: out-of-fold predictions and traffic of each.

They run without Ray, whose start is paid once a notebook. ``finetuned`` is FedAvg whose last fifth of the rounds each
hospital trains at home (`sarcnet.federated.analysis.fine_tuning`); it goes on from the rounds FedAvg has left on disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.analysis.fine_tuning import fine_tune, predict_at_home, shortened
from sarcnet.federated.app.ledger import totals
from sarcnet.federated.app.server_app import FederatedRun
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.strategies import STRATEGIES, strategy_config
from sarcnet.model.patients import Patients
from sarcnet.model.predict import predict_out_of_fold

FINETUNED = "finetuned"
HOME_SHARE = 5  # one round in five is trained at home


@dataclass(frozen=True)
class Compared:
    """oof: out-of-fold predictions of every strategy; bytes: strategy → what crossed the wire in all."""

    oof: pd.DataFrame
    bytes: dict[str, int]


def compare_strategies(
    plan: FederationConfig,
    names: Sequence[str],
    *,
    hospitals: Mapping[str, Path],
    rounds_folder: Path,
    patients: Patients,
    folds: pd.DataFrame,
) -> Compared:
    """Train other strategies on the same plan, patients and folds.

    Args:
        plan: what is trained; its strategy is replaced.
        names: of `sarcnet.federated.strategies`, or finetuned.
        hospitals: name → its folder.
        rounds_folder: where finished rounds are kept.
        patients: those of all hospitals, to be predicted.
        folds: patient_id, repeat, fold.

    Returns:
        Out-of-fold predictions, whose models are called ``sarcnet_<name>``, and bytes of all messages.

    Raises:
        SarcnetError: an unknown name, before anything is trained.
    """
    unknown = sorted(set(names) - set(STRATEGIES) - {FINETUNED})
    if unknown:
        choice = ", ".join([*STRATEGIES, FINETUNED])
        raise SarcnetError(f"compared_strategies has {unknown}: choose from {choice}.")
    frames, sent = [], {}
    for name in names:
        own = dataclasses.replace(plan, model=f"sarcnet_{name}")
        if name == FINETUNED:
            oof, run = _finetuned(own, hospitals, rounds_folder, patients, folds, common=plan)
        else:
            own = dataclasses.replace(own, strategy=strategy_config(name))
            run = simulate(own, hospitals=hospitals, rounds_folder=rounds_folder, engine="inprocess")
            oof = predict_out_of_fold(run.model, patients, folds=folds)
        frames.append(oof)
        sent[own.model] = int(totals(run.messages)["bytes"].sum())
    return Compared(pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(), sent)


def _finetuned(
    plan: FederationConfig,
    hospitals: Mapping[str, Path],
    rounds_folder: Path,
    patients: Patients,
    folds: pd.DataFrame,
    *,
    common: FederationConfig,
) -> tuple[pd.DataFrame, FederatedRun]:
    at_home = max(1, plan.rounds // HOME_SHARE)
    run = simulate(
        shortened(common, rounds_at_home=at_home), hospitals=hospitals, rounds_folder=rounds_folder, engine="inprocess"
    )
    models = {
        centre: fine_tune(run.model, folder=folder, plan=plan, rounds_at_home=at_home, model=plan.model)
        for centre, folder in hospitals.items()
    }
    return predict_at_home(models, patients, folds=folds), run
