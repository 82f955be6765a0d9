"""The plan of a federated training: everything that is agreed before the first message.

Server and hospitals need nothing else from each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import pandas as pd

from sarcnet.compendium.cache_keys import code_key
from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.privacy.masking import check as check_hospitals
from sarcnet.federated.strategies import StrategyConfig
from sarcnet.model.crossval import Member, make_members
from sarcnet.model.protocol import Protocol

#: Error code of a hospital that could not do what it was asked; Flower's own codes are below 1000.
CANNOT_ANSWER = 1000
#: What shapes the rounds, with all that it imports: training at the hospitals and averaging at the server.
CODE = ("sarcnet.federated.app.local_training", "sarcnet.federated.app.server_app")


class FederationError(SarcnetError):
    """A federated training that cannot go on: names the hospital and the cause."""


class NodeUnavailable(FederationError):
    """A hospital's node that was there has gone: it may come back."""


@dataclass(frozen=True)
class FederationConfig:
    """What is trained and for how long.

    protocol: the model's settings, those of the pooled model; its ``centres`` are the hospitals.
    rounds, local_epochs: rounds × local_epochs views of every patient, the same number of epochs a pooled training of
    that length has.
    deadline_s: longest wait for the replies of one round; start_deadline_s: the same for the first reply, while
    processes start.
    model: name under which the members are stored. strategy: the strategy (`sarcnet.federated.strategies`).
    message_dtype: float32 sends weights as they are; float16 halves a round's messages: the model is sent rounded and a
    hospital's change comes back rounded (11 bits of mantissa each), while the server keeps its own weights in float32.
    secure_sum: the server reads sums over all hospitals only (`sarcnet.federated.privacy.masking`); needs three hospitals.
    """

    protocol: Protocol
    rounds: int
    local_epochs: int
    deadline_s: float = 900.0
    start_deadline_s: float = 300.0
    model: str = "sarcnet_fedavg"
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    message_dtype: str = "float32"
    secure_sum: bool = False

    def __post_init__(self) -> None:
        if self.message_dtype not in ("float32", "float16"):
            raise FederationError(f"message_dtype is '{self.message_dtype}': choose float32 or float16.")
        if self.secure_sum:
            check_hospitals(self.hospitals)
            single = self.strategy.combine != "mean" or self.strategy.clip_norm or self.strategy.control
            if single or self.message_dtype != "float32":
                raise FederationError(
                    f"A secure sum hides what {self.strategy.name} at {self.message_dtype} has to see or round: use a strategy "
                    "of the plain mean without clip_norm, and message_dtype float32."
                )
        if self.protocol.early_stopping_share and self.strategy.patient_clip:
            raise FederationError(
                "Early stopping needs losses of patients, and private training tells none, as they would leave without "
                "noise: set early_stopping_share to 0, and choose the number of rounds beforehand."
            )
        if self.protocol.loss == "cox":
            raise FederationError(
                "Cox's partial likelihood does not split over hospitals: each would only compare its own patients. "
                "Set loss to competing_hazards or hazard."
            )

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Names of the hospitals, sorted: the order in which everything is summed."""
        return tuple(sorted(self.protocol.centres))

    @property
    def members(self) -> tuple[Member, ...]:
        """All repeats × folds: they travel together in one array, members first."""
        return make_members(self.model, folds=self.protocol.folds, repeats=self.protocol.repeats)

    def training_steps(self, centres: pd.Series) -> str:
        """Training steps of each hospital in all rounds, and of the pooled training in the protocol's, as a sentence.

        centres: the hospital of each patient. A step is taken for each batch, so that few patients mean few steps.
        """
        size, epochs = self.protocol.batch_patients, self.rounds * self.local_epochs
        steps = {name: epochs * ceil(n / size) for name, n in centres.value_counts().sort_index().items()}
        own = ", ".join(f"{count} at {name}" for name, count in steps.items())
        pooled = self.protocol.epochs * ceil(len(centres) / size)
        return f"Training steps (batches of {size} patients): {own}; pooled {pooled}."

    def key(self, statistics: Mapping[str, np.ndarray]) -> str:
        """16 messages that change with anything that shapes the rounds.

        That is the protocol, the hospitals, the local epochs, the code that trains and averages and, by the sums of
        round 0, the patients. Not the number of rounds: a longer training goes on from a shorter one.
        """
        agreed = {"protocol": self.protocol.to_dict(), "local_epochs": self.local_epochs, "model": self.model}
        agreed |= {"strategy": self.strategy.to_dict(), "message_dtype": self.message_dtype}
        agreed["secure_sum"] = self.secure_sum
        digest = hashlib.sha256(json.dumps(agreed, sort_keys=True).encode() + code_key(*CODE).encode())
        for name in sorted(statistics):
            digest.update(name.encode() + np.ascontiguousarray(statistics[name]).tobytes())
        return digest.hexdigest()[:16]
