"""Parameters of notebook 04."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sarcnet.compendium.params import Settings


class FederationSettings(Settings):
    """What can be set in 04_federation; everything else comes from the protocol of 03_model."""

    run_dir: str = Field(description="folder of this run")
    seed: int = Field(description="seed of the run", ge=0)
    rounds: int = Field(description="federated rounds: how often the hospitals' models are averaged", ge=1)
    local_epochs: int = Field(description="epochs over its own patients a hospital trains in one round", ge=1)
    federation_engine: Literal["ray", "inprocess"] = Field(
        description="ray: Flower's simulation; inprocess: without Ray"
    )
    message_dtype: Literal["float16", "float32"] = Field(
        description="type of the weights in a round's messages: float16 halves them, float32 sends them as they are"
    )
    compared_strategies: list[str] = Field(
        description="other strategies trained beside FedAvg: names of sarcnet/federated/strategies.py, or finetuned"
    )
    jobs: int = Field(description="processor cores the simulation may use", ge=1)
