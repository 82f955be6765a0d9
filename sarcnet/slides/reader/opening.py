"""Opening a slide: which file it is, how large, and how many micrometres a pixel measures.

The micrometres per pixel (µm/px) come from, in this order: the `mpp` column of slides.csv, the scanner's own property,
the resolution tags of a plain TIFF. Which one it was is kept. A slide without it is refused: guessing 0.5 or
reading it off a nominal magnification ("40x" is 0.22 to 0.27 µm/px, depending on the scanner) would shift every
feature unnoticed. Label and macro images, which may show a patient's name, are never touched.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import openslide

from sarcnet.compendium.errors import SarcnetError
from sarcnet.slides.reader.units import Level0Px, Mpp

PLAUSIBLE_MPP = (0.05, 5.0)  # outside, the number is a unit mistake or a screen resolution (72 dpi is 353 µm/px)
LARGEST_MM = 250.0  # a glass slide measures 76 × 26 mm, the largest used for organ sections 200 × 150 mm
SAME_SHAPE_WITHIN = 0.02  # relative; levels are cut to whole pixels or, by some scanners, to whole blocks
SQUARE_WITHIN = 0.01  # relative; scanners report x and y equal to a few parts in ten thousand
ONE_GRID = (
    "aperio",
    "generic-tiff",
)  # formats that are one grid of tiles without gaps; in MIRAX much was never scanned
READ_ERRORS = (openslide.OpenSlideError, OSError, ValueError)


class SlideFault(SarcnetError):
    """One slide cannot be used. `cause` says what was found, `advice` what to do; together they are the message."""

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(f"{cause} {advice}")
        self.cause = cause
        self.advice = advice

    def __reduce__(self) -> tuple:
        return type(self), (self.cause, self.advice)


@dataclass(frozen=True)
class SlideInfo:
    """What a slide says about itself. Sizes in pixels of the finest level; `levels` are factors to it (1.0 first)."""

    path: Path
    format: str
    width_px: int
    height_px: int
    levels: tuple[float, ...]
    mpp: Mpp
    mpp_source: str
    objective_power: float  # nominal, as the vendor names it; NaN where absent; never used to compute anything
    left_px: Level0Px  # origin of the scanned area inside the canvas (formats that store bounds), otherwise 0
    top_px: Level0Px


def open_slide(path: Path, *, mpp_override: float = math.nan) -> tuple[openslide.OpenSlide, SlideInfo]:
    """Open `path` with OpenSlide and settle its µm/px.

    Args:
        path: the slide file.
        mpp_override: µm/px from slides.csv; NaN where the slide shall speak for itself.

    Returns:
        The open handle (close it; after one read error it stays dead and must be opened anew) and the slide's facts.

    Raises:
        SlideFault: not there, empty, not a slide, or without usable µm/px; with cause and advice.
    """
    _check_file(path)
    try:
        vendor = openslide.OpenSlide.detect_format(os.fspath(path))
        slide = openslide.OpenSlide(os.fspath(path)) if vendor else None
    except READ_ERRORS as error:
        raise SlideFault(
            f"OpenSlide takes {path.name} for a slide but cannot open it ({without_folder(error, path)}).",
            "The file is probably truncated or damaged: copy it again from the scanner and compare the sizes.",
        ) from error
    if slide is None:
        raise SlideFault(*_not_a_slide(path))
    try:
        return slide, _facts(slide, path, vendor=vendor or "unknown", mpp_override=mpp_override)
    except BaseException:
        slide.close()
        raise


def without_folder(error: Exception, path: Path) -> str:
    """What a library said, without the folder that a report should not carry about."""
    return str(error).replace(os.fspath(path), path.name).rstrip(".")


def require_inside(path: Path, home: Path | None) -> None:
    """A slide lies in its hospital's folder, links followed: what a report names must be what the hospital gave.

    Raises:
        SlideFault: the file is, or lies behind, a link that leads out of `home`.
    """
    if home is None:
        return
    try:
        target, folder = path.resolve(), home.resolve()
    except (OSError, RuntimeError) as error:
        raise SlideFault(
            f"{path.name} is a link that leads nowhere ({without_folder(error, path)}).", "Copy the slide itself."
        ) from error
    if not target.is_relative_to(folder):
        raise SlideFault(
            f"{path.name} is a link that leads out of the hospital's folder.",
            f"Copy the slide into {home.name}, or make {home.name} as a whole the link to where the slides lie.",
        )


def _facts(slide: openslide.OpenSlide, path: Path, *, vendor: str, mpp_override: float) -> SlideInfo:
    mpp, source = _mpp(dict(slide.properties), path.name, mpp_override, vendor)
    width, height = slide.dimensions
    _check_size(path, slide.level_dimensions, mpp)
    return SlideInfo(
        path=path,
        format=vendor,
        width_px=width,
        height_px=height,
        levels=_exact_downsamples(slide.level_dimensions),
        mpp=mpp,
        mpp_source=source,
        objective_power=_number(slide.properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)),
        left_px=Level0Px(_or_zero(slide.properties.get(openslide.PROPERTY_NAME_BOUNDS_X))),
        top_px=Level0Px(_or_zero(slide.properties.get(openslide.PROPERTY_NAME_BOUNDS_Y))),
    )


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise SlideFault(f"{path.name} is a link to a file that is not there.", "Copy the slide itself.")
    if not path.exists():
        raise SlideFault(f"{path.name} is not there.", "Check the file column of slides.csv, or copy the slide again.")
    if not path.is_file():  # opening a pipe would never return
        kind = "folder" if path.is_dir() else "device or pipe"
        raise SlideFault(
            f"{path.name} is a {kind}, not a file.",
            "Name the slide's own file in slides.csv; of a MIRAX slide that is the .mrxs beside the folder, of a DICOM "
            "slide any one .dcm inside it.",
        )
    if not os.access(path, os.R_OK):
        raise SlideFault(f"{path.name} may not be read.", "Give the user who runs sarcnet the right to read it.")
    if path.stat().st_size == 0:
        raise SlideFault(f"{path.name} is empty (0 bytes).", "The copy was interrupted: copy the slide again.")


def _check_size(path: Path, dimensions: tuple[tuple[int, int], ...], mpp: Mpp) -> None:
    """A damaged header may claim any size, and reading by it would fill the memory before anything fails."""
    width, height = dimensions[0]
    if max(width, height) * mpp > 1000 * LARGEST_MM:
        raise SlideFault(
            f"{path.name} would measure {width * mpp / 1000:,.0f} × {height * mpp / 1000:,.0f} mm "
            f"({width:,} × {height:,} px of {mpp:g} µm), more than any glass.",
            "Its header is damaged, or the µm/px is wrong: copy the slide again, and check the mpp column of slides.csv.",
        )
    for level, (w, h) in enumerate(dimensions[1:], start=1):
        slack = 2 / min(w, h) + SAME_SHAPE_WITHIN
        if abs((width / w) / (height / h) - 1) > slack:
            raise SlideFault(
                f"The pyramid of {path.name} is wrong: level {level} has {w:,} × {h:,} px, another shape than level 0 "
                f"with {width:,} × {height:,} px.",
                "The file was put together wrongly: export it again from the scanner's software.",
            )


def _not_a_slide(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror}).", "Check the disk that it lies on, or copy it again."
    if head[:2] in (b"II", b"MM"):
        return (
            f"{path.name} begins like a TIFF, but OpenSlide finds no readable pyramid in its "
            f"{path.stat().st_size:,} bytes.",
            "It is probably truncated (copy it again and compare the sizes), or a TIFF without tiles: "
            "convert it with `vips tiffsave --tile --pyramid`.",
        )
    return (
        f"{path.name} is not a slide that OpenSlide knows (it begins with the bytes {head.hex(' ')}).",
        "Export the slide from the scanner's software as SVS or tiled TIFF; a renamed picture does not become a slide.",
    )


def _mpp(properties: dict[str, str], name: str, override: float, vendor: str) -> tuple[Mpp, str]:
    if not math.isnan(override):
        return _plausible(override, "mpp column of slides.csv", name), "slides.csv"
    source = "TIFF resolution" if vendor == "generic-tiff" else "scanner"
    x, y = (_number(properties.get(key)) for key in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y))
    if math.isnan(x) or math.isnan(y):
        raise SlideFault(
            f"{name} does not say how many micrometres a pixel measures.",
            "Ask where the slide was scanned and write the number into the mpp column of slides.csv, for example 0.25.",
        )
    if abs(x - y) > SQUARE_WITHIN * (x + y) / 2:
        raise SlideFault(
            f"The pixels of {name} are not square ({x:g} × {y:g} µm).",
            "Check the scanner's calibration; if the slide is right, write one value into slides.csv (column mpp).",
        )
    return _plausible((x + y) / 2, source, name), source


def _plausible(mpp: float, source: str, name: str) -> Mpp:
    low, high = PLAUSIBLE_MPP
    if not low <= mpp <= high:
        raise SlideFault(
            f"{name} would measure {mpp:g} µm per pixel ({source}), which no microscope slide does ({low} to {high}).",
            "It is in another unit or a screen resolution: write the true µm/px into the mpp column of slides.csv.",
        )
    return Mpp(mpp)


def _exact_downsamples(dimensions: tuple[tuple[int, int], ...]) -> tuple[float, ...]:
    """Factor of each level to level 0. Levels are cut to whole pixels, so the ratio of sizes is off by up to a
    pixel in the level's size; where a whole number fits within that pixel, it is the truth and is taken.
    """
    width, height = dimensions[0]
    factors = []
    for w, h in dimensions:
        ratio = max(width / w, height / h) if min(w, h) < 64 else (width / w + height / h) / 2
        whole = round(ratio)
        fits = all(abs(full / whole - part) <= 1 for full, part in ((width, w), (height, h)))
        factors.append(float(whole) if fits else ratio)
    return tuple(factors)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def _or_zero(text: str | None) -> float:
    number = _number(text)
    return 0.0 if math.isnan(number) else number
