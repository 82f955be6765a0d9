"""What an encoder is: a frozen network from a tile to a vector, and all that one must know to use it rightly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Hub:
    """Where an encoder's files lie on the Hugging Face Hub, and how they become a network.

    `gated`: True where access must be asked for, False where not, None where we have not verified it.
    `library`: timm, transformers, or conch (a package of its own, from GitHub).
    `options`: arguments of timm.create_model that its config.json does not hold; `swiglu` adds the two classes that
    no text can hold (SwiGLUPacked, SiLU). `own_code`: the repository brings Python code that must be trusted.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    library: str
    gated: bool | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    swiglu: bool = False
    own_code: bool = False

    @property
    def page(self) -> str:
        """Where a person reads the licence and asks for access."""
        return f"https://huggingface.co/{self.id}"


@dataclass(frozen=True)
class Encoder:
    """A frozen network from a tile to a vector.

    `mean` and `std` are those of RGB in [0, 1] that it was trained with; `mpp` the µm/px it was trained at, up to
    `mpp_max` where it was trained at several (None: photographs, so any). `pooling` says what becomes the vector:
    "average" of the last feature map, "cls" token, "cls+mean" of the patch tokens behind it, "pooler" or "image" as
    the network's own code has it.

    Built in (`hub` is None): `weights()` gives the sha256 of its weights and `onnx()` the path of its graph, made on
    first use: uint8 tiles (n, tile_px, tile_px, 3) in, float32 features (n, dim) out, normalisation inside.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    dim: int
    tile_px: int
    mean: Colour
    std: Colour
    licence: str
    source: str
    mpp: float | None = None
    weights: Callable[[], str] | None = None
    onnx: Callable[[], Path] | None = None
    hub: Hub | None = None
    pooling: str = "average"
    mpp_max: float | None = None
