"""Parameters of notebook 02."""

from __future__ import annotations

from pydantic import Field

from sarcnet.compendium.params import Settings


class FeaturesSettings(Settings):
    """What shapes the features. `jobs` and `run_dir` do not."""

    run_dir: str = Field(description="folder of the run")
    seed: int = Field(ge=0, description="seed of the choice of tiles")
    encoder: str = Field(description="name of the encoder, see docs/encoders.md")
    tiles_per_slide_max: int = Field(ge=1, description="at most so many tiles of a slide are encoded, chosen at random")
    batch_tiles: int = Field(ge=1, le=1024, description="tiles encoded in one call")
    jobs: int = Field(ge=1, le=256, description="threads; each reads and encodes")
