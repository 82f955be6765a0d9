"""One stack from start to finish: split for early stopping, statistics, training, baseline, centring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.model.crossval import Member
from sarcnet.model.losses import fit_baseline
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import image_score_sums, predict_scores
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.early_stopping import split_for_stopping
from sarcnet.model.training.lightning_module import fit


@dataclass(frozen=True)
class Variant:
    """What a model may see, and how long it trains.

    Attributes:
        name: of the model, in tables.
        image: whether it has the image branch.
        clinical: whether it has the clinical branch.
        centre: the one hospital it is trained at; '' for all, pooled.
        epochs: passes over the patients; 0 for the protocol's.
    """

    name: str
    image: bool = True
    clinical: bool = True
    centre: str = ""
    epochs: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained network and its learning curves (`sarcnet.model.training.lightning_module.fit`)."""

    stack: StackedNetwork
    curves: pd.DataFrame


def start_stack(
    protocol: Protocol, patients: Patients, *, weights: np.ndarray, members: Sequence[Member], variant: Variant
) -> tuple[StackedNetwork, np.ndarray, np.ndarray | None]:
    """A stack ready to train, and which patients train it.

    Args:
        protocol: settings of the model.
        patients: n patients.
        weights: (n, E), 1 where patient i is a training patient of member e.
        members: the E networks.
        variant: which branches they have.

    Returns:
        The stack at its starting weights with standardisation and starting hazard of its training patients, their weights
        (n, E), and, with early stopping, (n, E) 1 for those who decide when to stop and train nothing, else None.
    """
    stopping = None
    if protocol.early_stopping_share > 0:
        share, seed = protocol.early_stopping_share, protocol.seed
        weights, stopping = split_for_stopping(weights, patients, members=members, share=share, seed=seed)
    stack = build_stack(protocol, members=members, image=variant.image, clinical=variant.clinical)
    apply_statistics(stack, training_statistics(patients, weights=weights, image=variant.image))
    return stack, weights, stopping


def train_stack(
    protocol: Protocol,
    patients: Patients,
    *,
    weights: np.ndarray,
    members: Sequence[Member],
    variant: Variant,
    what: str = "",
    after_epoch: Callable[[int, StackedNetwork], None] | None = None,
) -> Trained:
    """Train these members from start to finish; nothing is fitted on any but their training patients.

    Arguments as in :func:`start_stack`; what, after_epoch: as in `sarcnet.model.training.lightning_module.fit`.
    """
    stack, weights, stopping = start_stack(protocol, patients, weights=weights, members=members, variant=variant)
    curves = fit(
        stack, patients, weights=weights, protocol=protocol, what=what, stopping=stopping, after_epoch=after_epoch
    )
    if protocol.loss == "cox":
        alpha = fit_baseline(predict_scores(stack, patients), patients.outcome, weights=weights)
        stack.load_parameter_arrays(stack.parameter_arrays() | {"log_odds": alpha})
    if variant.image:
        total, count = image_score_sums(stack, patients, weights=weights)
        stack.centre_image_score(total=total, count=count)
    return Trained(stack, curves)
