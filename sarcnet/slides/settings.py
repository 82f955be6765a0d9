"""Parameters of notebook 01."""

from __future__ import annotations

from pydantic import Field

from sarcnet.compendium.params import Settings


class TilingSettings(Settings):
    """What shapes the tiles. `jobs` and `run_dir` do not."""

    run_dir: str = Field(description="folder of the run")
    seed: int = Field(ge=0, description="seed of every random choice; here only which tiles are shown")
    tile_um: float = Field(gt=0, le=2000, description="side of a tile on the glass, µm")
    tile_px: int = Field(ge=16, le=1024, description="side of a tile as the encoder sees it, px")
    thumbnail_um_per_px: float = Field(ge=1, le=64, description="thumbnail that tissue is sought on, µm/px")
    tissue_share_min: float = Field(ge=0, le=1, description="least share of a tile that the tissue mask must cover")
    pen_share_max: float = Field(ge=0, le=1, description="largest share of a tile that may be pen")
    fold_share_max: float = Field(ge=0, le=1, description="largest share of a tile that may lie double")
    blank_share_max: float = Field(ge=0, le=1, description="largest share of a tile's pixels as bright as empty glass")
    sharpness_min: float = Field(ge=0, description="least variance of the Laplacian, grey levels squared")
    unreadable_share_max: float = Field(ge=0, le=1, description="share of unreadable tiles at which a slide fails")
    jobs: int = Field(ge=1, le=256, description="processes, one slide each")
