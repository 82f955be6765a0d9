"""One model, cross-validated: folds → members → statistics → training → out-of-fold predictions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from sarcnet.model.crossval import make_members, out_of_fold, training_weights
from sarcnet.model.losses import fit_baseline
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, image_score_sums, predict_risks, predict_scores
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training import fit


@dataclass(frozen=True)
class Variant:
    """What a model may see. image, clinical: its branches; centre.

    The one hospital it is trained at ('' = all, pooled).
    """

    name: str
    image: bool = True
    clinical: bool = True
    centre: str = ""


@dataclass(frozen=True)
class CrossValidated:
    """A trained stack, its out-of-fold predictions (patient_id, centre, model, repeat, fold, risk) and its learning
    curves."""

    trained: TrainedStack
    oof: pd.DataFrame
    curves: pd.DataFrame


def study_variants(centres: tuple[str, ...]) -> tuple[Variant, ...]:
    """The models of notebook 03: pooled, the two ablations, and each hospital alone."""
    return (
        Variant("sarcnet_pooled"),
        Variant("image_only", clinical=False),
        Variant("clinical_only", image=False),
        *(Variant(f"local_{centre}", centre=centre) for centre in centres),
    )


def cross_validate(
    protocol: Protocol, *, patients: Patients, folds: pd.DataFrame, variant: Variant, progress: bool = False
) -> CrossValidated:
    """Train all repeats and folds of one model together and predict every patient by the members not trained on them.

    patients: all training-series patients; folds: from make_folds. A model of one hospital is shown that hospital's
    patients only.
    """
    members = make_members(variant.name, folds=protocol.folds, repeats=protocol.repeats, centre=variant.centre)
    own = patients.of_centre(variant.centre) if variant.centre else patients
    weights = training_weights(folds, patient_ids=own.patient_ids, centres=own.centres, members=members)
    stack = build_stack(protocol, members=members, image=variant.image, clinical=variant.clinical)
    apply_statistics(stack, training_statistics(own, weights=weights, image=variant.image))
    what = f"epochs of {variant.name}" if progress else ""
    curves = fit(stack, own, weights=weights, protocol=protocol, what=what)
    if protocol.loss == "cox":
        alpha = fit_baseline(predict_scores(stack, own), own.outcome, weights=weights)
        stack.load_parameter_arrays(stack.parameter_arrays() | {"log_odds": alpha})
    if variant.image:
        total, count = image_score_sums(stack, own, weights=weights)
        stack.centre_image_score(total=total, count=count)
    trained = TrainedStack(protocol, members, stack)
    risks = predict_risks(trained, patients)
    oof = out_of_fold(risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    table = pd.DataFrame([asdict(m) for m in members])[["model", "repeat", "fold"]]
    return CrossValidated(trained, oof, curves.join(table, on="member"))


def mean_risk(risks: np.ndarray) -> np.ndarray:
    """(n,): risk of new patients, the mean over a model's members. risks (n, E)."""
    return risks.mean(axis=1)
