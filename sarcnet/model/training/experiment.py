"""One model, cross-validated: folds → members → (tuning) → training → out-of-fold predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from torch.utils.data import DataLoader

from sarcnet.model.crossval import fold_matrix, make_folds, make_members, mean_over, out_of_fold, training_weights
from sarcnet.model.patients import Batch, Patients
from sarcnet.model.predict import TrainedStack, contributions, predict_risks, predict_scores
from sarcnet.model.protocol import Protocol
from sarcnet.model.training.fitting import Variant, start_stack, train_stack
from sarcnet.model.training.lightning_module import StackTraining, loader_for
from sarcnet.model.training.tuning import train_tuned, tune

__all__ = [
    "CrossValidated",
    "Protocol",
    "Variant",
    "cross_validate",
    "learning_curves_to_the_end",
    "make_folds",
    "prepare_training",
    "study_variants",
]

LOSSES = {
    "training_loss": "training patients",
    "stopping_loss": "stopping patients",
    "heldout_loss": "held-out patients",
}


@dataclass(frozen=True)
class CrossValidated:
    """A model after cross-validation.

    Attributes:
        variant: what it sees, and where it is trained.
        trained: its networks.
        oof: out-of-fold predictions: patient_id, centre, model, repeat, fold, risk.
        curves: losses by epoch and member (`sarcnet.model.training.lightning_module.fit`), with model, repeat, fold.
        tuning: what was tuned (`sarcnet.model.training.tuning.tune`); empty when nothing was.
        left_out: (n, E) 1 where the member was not trained on the patient, as the patient is in its held-out fold.
    """

    variant: Variant
    trained: TrainedStack
    oof: pd.DataFrame
    curves: pd.DataFrame
    tuning: pd.DataFrame
    left_out: np.ndarray

    def parts(self, patients: Patients) -> pd.DataFrame:
        """Score of each patient as the networks give it, and, where it is a sum, its two parts.

        Args:
            patients: those of the cross-validation. Means are taken over the members that a patient was left out of.

        Returns:
            score, and from the parts (`sarcnet.model.predict.contributions`) image, clinical and their sum, one row per
            patient; score alone where it is not a sum.
        """
        network = self.trained.network
        score = mean_over(predict_scores(network, patients), self.left_out)
        if not network.additive:
            return pd.DataFrame({"score": score})
        parts = contributions(self.trained, patients, use=self.left_out).scores
        return parts.rename(columns={"score": "sum"}).assign(score=score)


def study_variants(centres: Sequence[str], *, epochs: Sequence[int] = (0,)) -> tuple[Variant, ...]:
    """The models of notebook 03: pooled, the two ablations, and each hospital alone.

    Args:
        centres: names of the hospitals.
        epochs: one number for all, or four: pooled, image only, clinical only, one hospital alone. Equally many epochs are
            not equal progress: a hospital alone has fewer batches, and the branches learn at different speeds.

    Returns:
        One variant per model, with its name in tables.
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

    Args:
        protocol: every setting of the model.
        patients: all patients of the training series. A model of one hospital is shown that hospital's patients only.
        folds: of the patients, from `make_folds`.
        variant: what the model sees, where it is trained, and for how many epochs.
        progress: whether to show a line while it trains.

    Returns:
        Networks, out-of-fold predictions, learning curves and what was tuned.

    Raises:
        SarcnetError: a member has no training patient, or the training diverged.
    """
    protocol = dataclasses.replace(protocol, epochs=variant.epochs or protocol.epochs)
    members = make_members(variant.name, folds=protocol.folds, repeats=protocol.repeats, centre=variant.centre)
    shown = patients.of_centre(variant.centre) if variant.centre else patients
    weights = training_weights(folds, patient_ids=shown.patient_ids, centres=shown.centres, members=members)
    what = f"epochs of {variant.name}" if progress else ""
    tuning = pd.DataFrame()
    if protocol.weight_decay_grid:
        tuning = tune(protocol, shown, weights=weights, members=members, variant=variant)
        done = train_tuned(protocol, shown, weights=weights, members=members, variant=variant, tuning=tuning, what=what)
    else:
        done = train_stack(protocol, shown, weights=weights, members=members, variant=variant, what=what)
    trained = TrainedStack(protocol, members, done.stack)
    risks = predict_risks(trained, patients)
    oof = out_of_fold(risks, folds=folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    curves = done.curves.join(pd.DataFrame([asdict(m) for m in members])[["model", "repeat", "fold"]], on="member")
    left_out = fold_matrix(folds, patient_ids=patients.patient_ids, members=members) == 1
    return CrossValidated(variant, trained, oof, curves, tuning.assign(model=variant.name), left_out)


def prepare_training(
    result: CrossValidated, patients: Patients, *, folds: pd.DataFrame, member: int = 0
) -> tuple[StackTraining, DataLoader[Batch]]:
    """Set up the training of one network of a model again, alone: what `lightning.Trainer.fit` is called with.

    Args:
        result: the cross-validated model; its settings, weight decay as tuned, and its starting weights are taken.
        patients: those of the cross-validation.
        folds: those of the cross-validation.
        member: number of the network.

    Returns:
        The module, whose `stack` the Trainer trains in place (`module.protocol.epochs` epochs), and its batches.
    """
    protocol, members, variant = result.trained.protocol, result.trained.members[member : member + 1], result.variant
    if len(result.tuning):
        chosen = result.tuning.query("chosen").set_index("member")["weight_decay"]
        protocol = dataclasses.replace(protocol, weight_decay=chosen[member])
    shown = patients.of_centre(variant.centre) if variant.centre else patients
    weights = training_weights(folds, patient_ids=shown.patient_ids, centres=shown.centres, members=members)
    stack, weights, stopping = start_stack(protocol, shown, weights=weights, members=members, variant=variant)
    module = StackTraining(stack, protocol=protocol, stopping=stopping)
    return module, loader_for(stack, shown, weights=weights, protocol=protocol)


def learning_curves_to_the_end(curves: pd.DataFrame) -> pd.DataFrame:
    """Learning curves in long form, for drawing.

    Args:
        curves: of one or several models, as `CrossValidated.curves`.

    Returns:
        model, epoch, member, patients ("training patients", "held-out patients", and "stopping patients" where early
        stopping was on), loss. A member whose training has ended keeps its last loss up to the last epoch of its own
        model, never beyond.
    """
    tables = []
    for model, rows in curves.groupby("model", sort=False):
        losses = rows.pivot(index="epoch", columns="member", values=list(LOSSES)).ffill()
        tables.append(losses.stack("member", future_stack=True).reset_index().assign(model=model))
    wide = pd.concat(tables, ignore_index=True).rename(columns=LOSSES)
    long = wide.melt(["model", "epoch", "member"], list(LOSSES.values()), var_name="patients", value_name="loss")
    return long.dropna(subset="loss")
