"""Parameters of notebook 03."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sarcnet.compendium.params import Settings


class ModelSettings(Settings):
    """What shapes the folds and the trained models. All of it travels to the federation in protocol.json."""

    run_dir: str = Field(description="folder of the run")
    seed: int = Field(ge=0, description="seed of folds, starting weights, batches and tiles shown")
    folds: int = Field(ge=2, le=20, description="folds of patients")
    repeats: int = Field(ge=1, le=50, description="times the patients are dealt into folds anew")
    clinical_variables: list[str] = Field(description="columns of patients.csv the clinical branch sees")
    horizon_months: float = Field(gt=0, description="horizon of the predicted risk, months")
    hazard_edges_months: list[float] = Field(
        min_length=1, description="upper edges of the hazard's intervals, months; the horizon is one of them"
    )
    aggregator: Literal["mean", "abmil", "chowder", "transmil"] = Field(
        description="rule by which a patient's tiles count"
    )
    fusion: Literal["late", "concatenation", "gated"] = Field(description="how image and clinic become one score")
    loss: Literal["competing_hazards", "hazard", "cox"] = Field(
        description="what training makes small; with competing_hazards a competing death is a risk of its own"
    )
    embedding_dim: int = Field(ge=1, le=1024, description="numbers that describe a tile inside the network")
    epochs: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        min_length=1,
        max_length=4,
        description="passes over the training patients: pooled, image only, clinical only, one hospital alone; a single "
        "number holds for all",
    )
    learning_rate: float = Field(gt=0, lt=1, description="step length of AdamW")
    early_stopping_share: float = Field(
        ge=0, le=0.5, description="share of the training patients that says when to stop; 0 trains all epochs on all"
    )
    weight_decay: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1,
        description="pull of the weights towards 0, per step times learning_rate; of several an inner cross-validation "
        "chooses, and a federation takes the first",
    )

    @field_validator("epochs")
    @classmethod
    def _one_or_four(cls, value: list[int]) -> list[int]:
        if len(value) not in (1, 4):
            raise ValueError(
                f"give one number for all models, or four (pooled, image only, clinical only, one hospital alone), not "
                f"{len(value)}"
            )
        return value
