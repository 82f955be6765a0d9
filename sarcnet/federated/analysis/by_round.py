"""How good the averaged model was after each round.

Something only a simulation, which holds everybody's patients, can ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from sarcnet.federated.app.checkpoint import round_file
from sarcnet.federated.app.server_app import FederatedRun
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, copy_network, predict_out_of_fold

#: A table with patient_id, risk and the outcome's columns → one number.
Score = Callable[[pd.DataFrame], float]


def predict_rounds(run: FederatedRun, patients: Patients, *, folds: pd.DataFrame) -> pd.DataFrame:
    """Out-of-fold predictions of the model after each round.

    Args:
        run: a finished federated training, whose rounds are on disk.
        patients: those of all hospitals.
        folds: patient_id, repeat, fold.

    Returns:
        round, patient_id, centre, repeat, fold, risk (by the horizon, 0 to 1). The last round is the finished model (with
        early stopping that of each member's best round); in the others a patient without tiles has the risk of a patient
        whose tiles say nothing, as the image score is centred at the very end.
    """
    last = int(run.rounds["round"].max())
    frames = []
    for number in range(1, last + 1):
        model = run.model if number == last else _after(run, number)
        frames.append(predict_out_of_fold(model, patients, folds=folds).assign(round=number))
    return pd.concat(frames, ignore_index=True)


def _after(run: FederatedRun, number: int) -> TrainedStack:
    network = copy_network(run.model)
    network.load_parameter_arrays(load_file(str(round_file(run.rounds_folder, number))))
    network.image_centre.zero_()
    return TrainedStack(run.model.protocol, run.model.members, network)


def score_by(oof: pd.DataFrame, *, by: Iterable[str], outcome: pd.DataFrame, score: Score) -> pd.DataFrame:
    """A score of out-of-fold risks, the mean over repeats, for each group.

    Args:
        oof: patient_id, repeat, risk and the columns ``by``.
        by: columns that make the groups, for instance model and centre.
        outcome: patient_id, mfs_months, mfs_event, centre.
        score: gets the rows of one group and repeat, with both, and returns a number.

    Returns:
        The columns ``by``, patients (their number), score.
    """
    keys = list(by)
    columns = ["patient_id", *(c for c in ("mfs_months", "mfs_event", "centre") if c not in keys)]
    known = oof[[*keys, "patient_id", "repeat", "risk"]].merge(outcome[columns], on="patient_id", validate="m:1")
    rows = []
    for group, table in known.groupby(keys, sort=False):
        names = dict(zip(keys, group if isinstance(group, tuple) else (group,), strict=True))
        each = [score(repeat) for _, repeat in table.groupby("repeat")]
        rows.append(names | {"patients": table["patient_id"].nunique(), "score": float(np.mean(each))})
    return pd.DataFrame(rows)


def loss_curves(rounds: pd.DataFrame, curves: pd.DataFrame, *, local_epochs: int) -> pd.DataFrame:
    """Losses per patient of the federated and of the pooled training, on one axis of rounds.

    Args:
        rounds: a row per round and hospital (patients, training_loss, heldout_loss), averaged over hospitals by patients.
        curves: learning curves of notebook 03; epoch e of the pooled model stands at round (e + 1) / local_epochs.
        local_epochs: epochs that a hospital trains in a round.

    Returns:
        curve ("federated, held-out patients", ...), round, loss (negative log-likelihood per patient).
    """
    names = {"training_loss": "training patients", "heldout_loss": "held-out patients"}
    pooled = curves[curves["model"] == "sarcnet_pooled"].groupby("epoch")[list(names)].mean()
    frames = []
    for column, patients in names.items():
        share = rounds["patients"] / rounds.groupby("round")["patients"].transform("sum")
        federated = (rounds[column] * share).groupby(rounds["round"]).sum()
        places = {"federated": federated, "pooled": pooled[column].set_axis((pooled.index + 1) / local_epochs)}
        for who, loss in places.items():
            frames.append(pd.DataFrame({"curve": f"{who}, {patients}", "round": loss.index, "loss": loss.to_numpy()}))
    return pd.concat(frames, ignore_index=True)
