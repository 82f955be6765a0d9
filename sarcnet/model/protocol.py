"""The protocol: every setting that shapes a trained model, and the stack that follows from it.

It is written to JSON and reused by the federation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sarcnet.cohort.endpoint import endpoint_named
from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.aggregators import AGGREGATORS
from sarcnet.model.clinical import clinical_columns
from sarcnet.model.crossval import Member
from sarcnet.model.fusions import FUSIONS
from sarcnet.model.hazard import check_edges
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.settings import ModelSettings

LOSSES = ("competing_hazards", "hazard", "cox")


@dataclass(frozen=True)
class Protocol:
    """Settings of notebook 03. Same protocol, same folds, same patients: same model.

    Attributes:
        optimizer: "adamw", or "sgd" for the exactness tests of the federation (plain, no momentum).
        aggregator: rule by which tiles count, a name in `sarcnet.model.aggregators`.
        embedding_rate: share of the learning rate at which the embedding of the tiles moves.
        fusion: how image and clinical variables become one score, a name in `sarcnet.model.fusions`.
        loss: "competing_hazards" (death without metastasis has a hazard of its own and the risk is the cumulative
            incidence), "hazard" (death censors: the risk were nobody to die of anything else) or "cox"
            (`sarcnet.model.losses`; not federated).
        early_stopping_share: part of a member's training patients that decides when it stops
            (`sarcnet.model.training.early_stopping`); 0 trains all epochs on all of them.
        patience: epochs without improvement after which a member stops; in a federation, rounds
            (`sarcnet.federated.app.early_stopping`).
        weight_decay_grid: values among which an inner cross-validation chooses for each member
            (`sarcnet.model.training.tuning`); empty: weight_decay for all, and so in a federation.
        outcome: the event that was predicted, a name in `sarcnet.cohort.endpoint`; code that reads patients under this
            protocol needs tables coded for it.
        tiles_per_bag: tiles that a patient shows in one epoch, drawn again each epoch; 0 shows all.
    """

    seed: int
    folds: int
    repeats: int
    centres: tuple[str, ...]
    clinical_variables: tuple[str, ...]
    hazard_edges_months: tuple[float, ...]
    horizon_months: float
    encoder: str
    feature_dim: int
    embedding_dim: int
    epochs: int
    learning_rate: float
    weight_decay: float
    batch_patients: int = 32
    aggregator: str = "abmil"
    attention_dim: int = 16
    tiles_per_bag: int = 16
    embedding_rate: float = 0.1
    optimizer: str = "adamw"
    loss: str = "competing_hazards"
    fusion: str = "late"
    early_stopping_share: float = 0.0
    patience: int = 5
    weight_decay_grid: tuple[float, ...] = ()
    outcome: str = "metastasis"

    def __post_init__(self) -> None:
        for name in ("centres", "clinical_variables", "hazard_edges_months", "weight_decay_grid"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_edges(self.hazard_edges_months, horizon_months=self.horizon_months)
        clinical_columns(self.clinical_variables)
        if self.optimizer not in ("adamw", "sgd"):
            raise SarcnetError(f"optimizer is '{self.optimizer}': choose adamw or sgd.")
        if self.loss not in LOSSES:
            raise SarcnetError(f"loss is '{self.loss}': choose {', '.join(LOSSES)}.")
        if self.aggregator not in AGGREGATORS:
            raise SarcnetError(f"aggregator is '{self.aggregator}': choose {', '.join(AGGREGATORS)}.")
        if not 0 <= self.early_stopping_share <= 0.5:
            raise SarcnetError(
                f"early_stopping_share is {self.early_stopping_share:g}: choose 0 (off) to 0.5, for example 0.2."
            )
        if endpoint_named(self.outcome).loss(self.loss) != self.loss:
            raise SarcnetError(
                f"loss is '{self.loss}', but with the outcome '{self.outcome}' death is an event and nothing competes: "
                "set loss to hazard."
            )
        if self.fusion not in FUSIONS:
            raise SarcnetError(f"fusion is '{self.fusion}': choose {', '.join(FUSIONS)}.")

    @classmethod
    def of(
        cls, settings: ModelSettings, *, outcome: str, centres: Sequence[str], encoder: str, feature_dim: int
    ) -> Protocol:
        """From notebook 03's settings, the outcome, the hospitals that take part, and the encoder of the tiles.

        Where nothing competes, the loss competing_hazards is that of a single hazard, and the protocol says hazard.
        feature_dim: numbers a tile.
        """
        values = settings.model_dump(include={f.name for f in fields(cls)})
        values |= {"outcome": outcome, "loss": endpoint_named(outcome).loss(settings.loss)}
        decays = settings.weight_decay
        values |= {"weight_decay": decays[0], "weight_decay_grid": decays if len(decays) > 1 else ()}
        values["epochs"] = settings.epochs[0]
        return cls(**values, centres=tuple(sorted(centres)), encoder=encoder, feature_dim=feature_dim)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Protocol:
        """The reverse; raises SarcnetError on missing or unknown entries."""
        known = {f.name for f in fields(cls)}
        wrong = sorted(set(values) - known)
        missing = sorted({f.name for f in fields(cls) if f.default is MISSING} - set(values))
        if wrong or missing:
            raise SarcnetError(
                f"This is not a valid protocol: unknown entries {wrong}, missing entries {missing}. Run 03_model again."
            )
        return cls(**values)


def build_stack(
    protocol: Protocol, *, members: Sequence[Member], image: bool = True, clinical: bool = True
) -> StackedNetwork:
    """A stack at its starting weights. A member's start depends on the seed, its repeat and its fold: all models of a
    fold start alike.

    image, clinical: switch a branch off for the ablations.
    """
    stack = StackedNetwork(
        StackShape(
            members=len(members),
            feature_dim=protocol.feature_dim if image else 0,
            clinical_dim=len(clinical_columns(protocol.clinical_variables)),
            embedding_dim=protocol.embedding_dim,
            attention_dim=protocol.attention_dim,
            intervals=len(protocol.hazard_edges_months),
            image=image,
            clinical=clinical,
            aggregator=protocol.aggregator,
            fusion=protocol.fusion,
            competing_death=protocol.loss == "competing_hazards",
        )
    )
    stack.initialise(protocol.seed, names=[("member", m.repeat, m.fold) for m in members])
    return stack
