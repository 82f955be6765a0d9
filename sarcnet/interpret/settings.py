"""Parameters of notebook 06."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sarcnet.compendium.params import Settings


class InterpretabilitySettings(Settings):
    """What is explained, what is shown of it, and how sure the comparisons are. Nothing here changes a prediction."""

    run_dir: str = Field(description="folder of the run")
    seed: int = Field(ge=0, description="seed of the bootstrap and of the randomised networks")
    explained_model: Literal["sarcnet_pooled", "sarcnet_fedavg"] = Field(description="model that is explained")
    patients_shown: int = Field(ge=1, le=10, description="heat maps at each end of the image score, for each hospital")
    tiles_shown: int = Field(ge=1, le=24, description="tiles shown at each end of the contributions")
    tiles_per_patient_max: int = Field(ge=1, description="tiles of one patient among those shown at one end")
    tile_share_compared: float = Field(
        gt=0, le=0.5, description="share of a patient's tiles that count as high, and as low"
    )
    nuclei_per_tile_min: int = Field(ge=2, description="nuclei a tile needs before their size is averaged")
    tumours_repainted: int = Field(ge=2, le=1000, description="simulated tumours painted again with one knob turned")
    random_networks: int = Field(ge=1, le=1000, description="networks with shuffled weights to compare with")
    measured_tiles_per_end: int = Field(ge=2, le=1000, description="measured tiles of each patient, at each end")
    review_tiles: int = Field(ge=6, le=400, description="tiles on the review sheet, before repeats and checks")
    bootstrap_samples: int = Field(ge=50, le=100_000, description="bootstrap samples of patients")
    interval_level: float = Field(gt=0.5, lt=1, description="level of all intervals")
    jobs: int = Field(ge=1, le=256, description="processes that paint tumours again and measure tiles")
