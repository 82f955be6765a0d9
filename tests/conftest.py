"""Small slides, written on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips

pytest_plugins = ["two_hospitals"]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).with_name("without")), os.environ.get("PYTHONPATH")])
)  # for the programs that tests start; for the tests themselves see pyproject.toml

# Workers take whole files in this order, two each to begin with: the longest first, so that they end together.
LONGEST_FIRST = (
    "notebooks/test_chain.py",
    "compendium/test_runner.py",
    "test_teaching.py",  # short, since the worker that has the chain keeps it until the chain ends
    "compendium/test_executed.py",
    "federated/test_engines.py",
    "browser/test_jupyterlab.py",
    "slides/test_bad_slides.py",
    "federated/test_strategies.py",
    "slides/test_units.py",
    "slides/test_scale_out.py",
    "federated/test_resume.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; all else keeps its place."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


SlideWriter = Callable[..., Path]


@pytest.fixture
def write_slide(tmp_path: Path) -> SlideWriter:
    """write_slide(name, pixels, mpp=…, aperio=True, pyramid=True) -> path of a lossless tiled TIFF.

    `mpp=None` leaves µm/px out; without `aperio` µm/px stands in the TIFF's resolution tags.
    """

    def write(
        name: str, pixels: np.ndarray, *, mpp: float | None = 0.5, aperio: bool = True, pyramid: bool = True
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
        if aperio:
            height, width = pixels.shape[:2]
            text = f"Aperio Image Library v12\n{width}x{height}|AppMag = 20" + (f"|MPP = {mpp}" if mpp else "")
            image.set_type(pyvips.GValue.gstr_type, "image-description", text)
        resolution = 1000 / mpp if mpp and not aperio else 1.0  # pixels per mm
        image.tiffsave(
            str(path),
            tile=True,
            tile_width=128,
            tile_height=128,
            pyramid=pyramid,
            compression="deflate",
            xres=resolution,
            yres=resolution,
        )
        return path

    return write


@pytest.fixture
def stained() -> Callable[..., np.ndarray]:
    """stained(height, width, tissue=(top, left, bottom, right)) -> glass with a textured pink rectangle, RGB."""

    def paint(height: int, width: int, *, tissue: tuple[int, int, int, int] | None, seed: int = 7) -> np.ndarray:
        pixels = np.full((height, width, 3), 244, np.uint8)
        if tissue:
            top, left, bottom, right = tissue
            rng = np.random.default_rng(seed)
            noise = rng.normal(0, 18, (bottom - top, right - left, 1))
            pixels[top:bottom, left:right] = np.clip(np.array([205, 130, 185]) + noise, 0, 255).astype(np.uint8)
        return pixels

    return paint
