"""Parameters of notebook 05."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sarcnet.compendium.params import Settings

Probability = Annotated[float, Field(gt=0, lt=1)]


class EvaluationSettings(Settings):
    """See notebook 05 for the meaning of each in context."""

    bootstrap_samples: int = Field(description="resamples of the patients", ge=50, le=100_000)
    interval_level: float = Field(description="coverage of the intervals", gt=0.5, lt=1)
    noninferiority_margin_auc: float = Field(description="AUC that federation may lose", gt=0, lt=0.5)
    high_risk_share: float = Field(description="share of training patients called high risk", gt=0, lt=1)
    calibration_groups: int = Field(description="groups of patients by predicted risk", ge=2, le=10)
    treatment_thresholds: list[Probability] = Field(
        description="predicted risks at which chemotherapy might be offered", min_length=1
    )
