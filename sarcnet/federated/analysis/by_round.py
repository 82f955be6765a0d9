"""How good the averaged model was after each round.

Something only a simulation, which holds everybody's patients, can ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from sarcnet.federated.app.checkpoint import round_file
from sarcnet.federated.app.server_app import FederatedRun
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, copy_network, predict_out_of_fold
from sarcnet.model.protocol import Protocol

#: A table with patient_id, risk and the outcome's columns → one number.
Score = Callable[[pd.DataFrame], float]


def predict_rounds(run: FederatedRun, patients: Patients, *, folds: pd.DataFrame) -> pd.DataFrame:
    """Out-of-fold predictions of the model after each round: round, patient_id, centre, repeat, fold, risk.

    The last round is the finished model (with early stopping that of each member's best round); in the others a patient
    without tiles has the risk of a patient whose tiles say nothing, as the image score is centred at the very end.
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
    """A score of out-of-fold risks, the mean over repeats, for each group: the columns ``by``, patients, score.

    oof: patient_id, repeat, risk and the columns ``by``; outcome: patient_id, mfs_months, mfs_event, centre; score gets
    the rows of one group and repeat, with both.
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


def say_steps(centres: pd.Series, protocol: Protocol, *, epochs: int) -> str:
    """Training steps of each hospital in these epochs, and of the pooled training in the protocol's, as a sentence.

    centres: the hospital of each patient. A step is taken for each batch, so that few patients mean few steps.
    """
    batches = {name: ceil(n / protocol.batch_patients) for name, n in centres.value_counts().sort_index().items()}
    own = ", ".join(f"{epochs * count} at {name}" for name, count in batches.items())
    pooled = protocol.epochs * ceil(len(centres) / protocol.batch_patients)
    return f"Training steps (batches of {protocol.batch_patients} patients): {own}; pooled {pooled}."
