"""Writing a picture as a tiled, JPEG-compressed pyramid: Aperio-style SVS, or a plain TIFF as other scanners export.

An SVS says µm/px and objective in its description; a plain TIFF says µm/px by its resolution tags only, which
OpenSlide gives as `openslide.mpp-x` of the vendor `generic-tiff`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips

from sarcnet.compendium.files import atomic_path

TILE_PX = 256


def write_svs(path: Path, *, picture: np.ndarray, mpp: float, quality: int, scanner_name: str) -> None:
    """Write (h, w, 3) uint8 RGB to `path` whole or not at all; the same picture gives the same bytes.

    Levels follow in steps of 2 down to one tile. Objective power is 20, as 0.5 µm/px is commonly called.
    """
    height, width = picture.shape[:2]
    image = pyvips.Image.new_from_array(picture).copy(interpretation="srgb")
    text = aperio_text(width=width, height=height, mpp=mpp, quality=quality, scanner_name=scanner_name)
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    _save(path, image=image, mpp=mpp, quality=quality)


def aperio_text(*, width: int, height: int, mpp: float, quality: int, scanner_name: str) -> str:
    """What an SVS says of itself; the objective power is what that µm/px is commonly called."""
    return (
        f"Aperio Image Library v12.0.0\r\n{width}x{height} [0,0 {width}x{height}] ({TILE_PX}x{TILE_PX}) JPEG/RGB "
        f"Q={quality}|AppMag = {40 if mpp < 0.35 else 20}|MPP = {mpp:.4f}|ScanScope ID = {scanner_name}|Simulated = yes"
    )


def write_tiff(path: Path, *, picture: np.ndarray, mpp: float, quality: int) -> None:
    """Write (h, w, 3) uint8 RGB to `path` as a plain pyramidal TIFF, whole or not at all; no objective is named."""
    image = pyvips.Image.new_from_array(picture).copy(interpretation="srgb")
    _save(path, image=image, mpp=mpp, quality=quality)


def _save(path: Path, *, image: pyvips.Image, mpp: float, quality: int) -> None:
    with atomic_path(path) as part:
        image.tiffsave(
            str(part),
            tile=True,
            tile_width=TILE_PX,
            tile_height=TILE_PX,
            pyramid=True,
            compression="jpeg",
            Q=quality,
            xres=1000 / mpp,
            yres=1000 / mpp,
            resunit="cm",
        )
