"""One model, cross-validated: folds → members → (tuning) → training → out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from sarcnet.model.crossval import make_members, out_of_fold, training_weights
from sarcnet.model.fitting import Variant, train_stack
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_risks
from sarcnet.model.protocol import Protocol
from sarcnet.model.tuning import train_tuned, tune

__all__ = ["CrossValidated", "Variant", "cross_validate", "mean_risk", "study_variants"]


@dataclass(frozen=True)
class CrossValidated:
    """A trained stack, its out-of-fold predictions (patient_id, centre, model, repeat, fold, risk), its learning curves, and
    what was tuned (`sarcnet.model.tuning.tune`; empty when nothing was)."""

    trained: TrainedStack
    oof: pd.DataFrame
    curves: pd.DataFrame
    tuning: pd.DataFrame


def study_variants(centres: Sequence[str], *, epochs: Sequence[int] = (0,)) -> tuple[Variant, ...]:
    """The models of notebook 03: pooled, the two ablations, and each hospital alone.

    epochs: one number for all, or four: pooled, image only, clinical only, one hospital alone. Equally many epochs are not
    equal progress: a hospital alone has fewer batches, and the branches learn at different speeds.
    """
    pooled, image, clinical, alone = epochs if len(epochs) == 4 else [epochs[0]] * 4
    return (
        Variant("sarcnet_pooled", epochs=pooled),
        Variant("image_only", clinical=False, epochs=image),
        Variant("clinical_only", image=False, epochs=clinical),
        *(Variant(f"local_{centre}", centre=centre, epochs=alone) for centre in centres),
    )


def cross_validate(
    protocol: Protocol, *, patients: Patients, folds: pd.DataFrame, variant: Variant, progress: bool = False
) -> CrossValidated:
    """Train all repeats and folds of one model together and predict every patient by the members not trained on them.

    patients: all training-series patients; folds: from make_folds. A model of one hospital is shown that hospital's
    patients only.
    """
    protocol = dataclasses.replace(protocol, epochs=variant.epochs or protocol.epochs)
    members = make_members(variant.name, folds=protocol.folds, repeats=protocol.repeats, centre=variant.centre)
    own = patients.of_centre(variant.centre) if variant.centre else patients
    weights = training_weights(folds, patient_ids=own.patient_ids, centres=own.centres, members=members)
    what = f"epochs of {variant.name}" if progress else ""
    tuning = pd.DataFrame()
    if protocol.weight_decay_grid:
        tuning = tune(protocol, own, weights=weights, members=members, variant=variant)
        done = train_tuned(protocol, own, weights=weights, members=members, variant=variant, tuning=tuning, what=what)
    else:
        done = train_stack(protocol, own, weights=weights, members=members, variant=variant, what=what)
    trained = TrainedStack(protocol, members, done.stack)
    risks = predict_risks(trained, patients)
    oof = out_of_fold(risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    table = pd.DataFrame([asdict(m) for m in members])[["model", "repeat", "fold"]]
    return CrossValidated(trained, oof, done.curves.join(table, on="member"), tuning.assign(model=variant.name))


def mean_risk(risks: np.ndarray) -> np.ndarray:
    """(n,): risk of new patients, the mean over a model's members. risks (n, E)."""
    return risks.mean(axis=1)
