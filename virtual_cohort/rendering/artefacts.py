"""What spoils real slides: pen on the glass, folds, air bubbles, places out of focus, tears, and slides without tissue.

An artefact is settled before a slide is painted, from a generator of its own, so that it moves nothing else on the
slide. It is laid over the picture after the optics and before the sensor's noise: noise is as strong on a blurred
place as on a sharp one. Sizes are those of small artefacts, since the slides are small; colours of ink are our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyvips
from PIL import Image, ImageDraw

from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import Scanner
from virtual_cohort.rendering.layout import enlarge, smooth_noise

BLANK = "blank"
BLANK_AMONG_SPOILT = 0.05
STEP_UM = 2.0  # grid on which the outline of an artefact is drawn
INK = {  # optical density in red, green, blue
    "blue": (0.92, 0.44, 0.16),
    "black": (1.30, 1.28, 1.20),
    "green": (0.80, 0.24, 0.50),
}
TRUTH_COLUMNS = ("slide_id", "kind", "detail", "x_um", "y_um", "width_um", "height_um")


class Size(NamedTuple):
    """How large artefacts of one kind are: evenly spread between bounds, in µm. `rough`: pairs of how far and over how
    many µm the outline wavers. `soft`: how far outside of its outline it still shows.
    """

    length: tuple[float, float]
    thick: tuple[float, float]
    rough: tuple[tuple[float, float], ...]
    soft: float


SIZES = {
    "pen": Size((500, 1000), (100, 180), ((2.0, 40.0),), 8.0),
    "fold": Size((280, 650), (35, 70), ((4.0, 110.0), (0.8, 16.0)), 3.0),
    "bubble": Size((150, 330), (0, 0), ((2.5, 200.0),), 10.0),
    "out_of_focus": Size((350, 800), (200, 380), ((14.0, 90.0),), 25.0),
    "tear": Size((300, 650), (30, 75), ((7.0, 36.0), (2.2, 8.0)), 16.0),
}
KINDS = (*SIZES, BLANK)


@dataclass(frozen=True)
class Artefact:
    """One artefact. `form`: band, ring or disc, or "" for a blank slide; (`x_um`, `y_um`): its middle from the top left;
    `length_um`: of a band, or the diameter; `thick_um`: of a band or ring; `bend_um`: how far a band's ends lie off its
    tangent; `detail`: colour of the ink; `blur_um`: standard deviation; `texture`: root of its own randomness.
    """

    kind: str
    form: str
    detail: str
    x_um: float
    y_um: float
    angle: float
    length_um: float
    thick_um: float
    bend_um: float
    blur_um: float
    texture: int

    def box(self, *, width_um: float, height_um: float) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in µm on a slide of that size; nothing outside is changed."""
        if self.kind == BLANK:
            return 0.0, 0.0, width_um, height_um
        along = np.linspace(-1, 1, 33)
        u, v = along * self.length_um / 2, self.bend_um * along**2
        size = SIZES[self.kind]
        margin = self.thick_um / 2 + size.soft + 4 * sum(far for far, _ in size.rough)
        if self.form != "band":
            u, v = (self.length_um / 2 * f(np.pi * along) for f in (np.cos, np.sin))
        x = self.x_um + u * np.cos(self.angle) - v * np.sin(self.angle)
        y = self.y_um + u * np.sin(self.angle) + v * np.cos(self.angle)
        left, right = np.clip((x.min() - margin, x.max() + margin), 0, width_um)
        top, bottom = np.clip((y.min() - margin, y.max() + margin), 0, height_um)
        return float(left), float(top), float(right), float(bottom)


def settle(seed: int, *, slide_id: str, artefact_share: float, width_um: float, height_um: float) -> Artefact | None:
    """What is wrong with a slide, if anything. A larger share adds artefacts and changes none that were there.

    Args:
        seed: root of all randomness.
        slide_id: of the slide; no other slide matters.
        artefact_share: probability that the slide is spoilt; one spoilt slide in 20 is blank, the other kinds are
            equally frequent.
        width_um: of the slide. height_um: likewise.
    """
    generator = rng(seed, "artefact", slide_id)
    spoilt, bare = generator.random(2)
    kind = BLANK if bare < BLANK_AMONG_SPOILT else str(generator.choice(list(SIZES)))
    if spoilt >= artefact_share:
        return None
    return draw_artefact(generator, kind=kind, width_um=width_um, height_um=height_um)


def draw_artefact(generator: np.random.Generator, *, kind: str, width_um: float, height_um: float) -> Artefact:
    """An artefact of that kind somewhere around the middle of a slide, of a size that the slide has room for."""
    texture = int(generator.integers(2**32))
    if kind == BLANK:
        return Artefact(kind, "", "", width_um / 2, height_um / 2, 0.0, 0.0, 0.0, 0.0, 0.0, texture)
    size, room = SIZES[kind], min(width_um, height_um)
    form = {"bubble": "disc"}.get(kind, "band")
    if kind == "pen" and generator.random() < 0.4:
        form = "ring"
    length = min(float(generator.uniform(*size.length)), (0.7 if form == "ring" else 0.95) * room)
    bend = float(generator.uniform(-0.16, 0.16)) * length if form == "band" else 0.0
    return Artefact(
        kind=kind,
        form=form,
        detail=str(generator.choice(list(INK))) if kind == "pen" else "",
        x_um=float(generator.uniform(0.3, 0.7)) * width_um,
        y_um=float(generator.uniform(0.3, 0.7)) * height_um,
        angle=float(generator.uniform(0, np.pi)),
        length_um=length,
        thick_um=min(float(generator.uniform(*size.thick)), 0.4 * room),
        bend_um=bend,
        blur_um=float(generator.uniform(4.0, 7.0)) if kind == "out_of_focus" else 0.0,
        texture=texture,
    )


def truth_table(artefacts: dict[str, Artefact | None], *, width_um: float, height_um: float) -> pd.DataFrame:
    """A row for each spoilt slide: kind, detail, and the middle and size of the box that holds it, in µm."""
    rows = []
    for slide_id, artefact in artefacts.items():
        if artefact is not None:
            left, top, right, bottom = artefact.box(width_um=width_um, height_um=height_um)
            middle = ((left + right) / 2, (top + bottom) / 2)
            rows.append((slide_id, artefact.kind, artefact.detail, *middle, right - left, bottom - top))
    table = pd.DataFrame(rows, columns=list(TRUTH_COLUMNS))
    return table.astype(dict.fromkeys(TRUTH_COLUMNS[3:], float)).round(2)


class Place(NamedTuple):
    """Where on the picture an artefact lies: `rows`, `columns` of the finest level, and, on a grid of STEP_UM over
    them, `depth` (h, w) in µm, positive inside its outline, with `along` and `across` (h, w) in µm from its middle.
    """

    rows: slice
    columns: slice
    depth: np.ndarray
    along: np.ndarray
    across: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the finest level."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def place_of(artefact: Artefact, *, shape: tuple[int, int], mpp: float) -> Place:
    """Outline of an artefact on a picture of `shape` pixels; not for blank slides."""
    left, top, right, bottom = artefact.box(width_um=shape[1] * mpp, height_um=shape[0] * mpp)
    rows, columns = (slice(int(np.ceil(a / mpp)), int(b / mpp)) for a, b in ((top, bottom), (left, right)))
    y, x = (np.arange(s.start * mpp, s.stop * mpp, STEP_UM, dtype=np.float32) for s in (rows, columns))
    dx, dy = np.meshgrid(x - artefact.x_um, y - artefact.y_um)
    cos, sin = np.cos(artefact.angle), np.sin(artefact.angle)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    half = artefact.length_um / 2
    if artefact.form == "disc":
        depth = half - np.hypot(along, across)
    elif artefact.form == "ring":
        along, across = half * np.arctan2(across, along), np.hypot(along, across) - half
        depth = artefact.thick_um / 2 - np.abs(across)
    else:
        across = across - artefact.bend_um * (along / half) ** 2
        if artefact.kind in ("fold", "tear"):  # pointed ends
            depth = artefact.thick_um / 2 * (1 - (along / half) ** 4) - np.abs(across)
        else:
            beyond = np.maximum(np.abs(along) - half + artefact.thick_um / 2, 0)
            depth = artefact.thick_um / 2 - np.hypot(beyond, across)
    generator = rng(artefact.texture, "outline")
    for far, over in SIZES[artefact.kind].rough:
        depth = depth + far * np.clip(smooth_noise(generator, shape=depth.shape, cells=over / STEP_UM), -3, 3)
    return Place(rows, columns, depth.astype(np.float32), along, across)


def torn(
    artefact: Artefact, *, shape: tuple[int, int], mpp: float, grid: tuple[int, int], grid_um: float
) -> np.ndarray:
    """Where a tear took the tissue away, as a mask (h, w) of `grid` cells of `grid_um`."""
    y, x = np.mgrid[: grid[0], : grid[1]]
    spots = pd.DataFrame({"x_um": (x.ravel() + 0.5) * grid_um, "y_um": (y.ravel() + 0.5) * grid_um})
    return _in_tear(spots, artefact=artefact, shape=shape, mpp=mpp).reshape(grid)


def without_torn(nuclei: pd.DataFrame, *, artefact: Artefact, shape: tuple[int, int], mpp: float) -> pd.DataFrame:
    """The nuclei (columns x_um, y_um) that a tear leaves on a slide of `shape` pixels."""
    return nuclei[~_in_tear(nuclei, artefact=artefact, shape=shape, mpp=mpp)].reset_index(drop=True)


def _in_tear(spots: pd.DataFrame, *, artefact: Artefact, shape: tuple[int, int], mpp: float) -> np.ndarray:
    place = place_of(artefact, shape=shape, mpp=mpp)
    row, column = (
        np.floor((spots[name].to_numpy() - lines.start * mpp) / STEP_UM).astype(int)
        for name, lines in (("y_um", place.rows), ("x_um", place.columns))
    )
    near = (row >= 0) & (column >= 0) & (row < place.depth.shape[0]) & (column < place.depth.shape[1])
    near[near] = place.depth[row[near], column[near]] > 0
    return near


def spoil(picture: np.ndarray, *, artefact: Artefact, scanner: Scanner) -> np.ndarray:
    """Lay an artefact over a picture before the sensor adds noise.

    Args:
        picture: (h, w, 3) uint8 RGB; changed in place.
        artefact: what and where.
        scanner: its glass and µm/px.

    Returns:
        The picture.
    """
    if artefact.kind == BLANK:
        return _dust(picture, generator=rng(artefact.texture, "dust"), mpp=scanner.mpp)
    place = place_of(artefact, shape=picture.shape[:2], mpp=scanner.mpp)
    glass = np.array(scanner.glass, np.float32)
    light = picture[place.rows, place.columns] / glass  # (h, w, 3), share of the light that glass lets through
    changed = _PAINTERS[artefact.kind](light, place, artefact, scanner.mpp) * glass
    picture[place.rows, place.columns] = np.clip(changed + np.float32(0.5), 0, 255)
    return picture


def _pen(light: np.ndarray, place: Place, artefact: Artefact, mpp: float) -> np.ndarray:
    """Ink that pooled at the rims and lies in streaks; the glass it is on is out of focus, so its edge is soft."""
    generator = rng(artefact.texture, "ink")
    streaks = _along_line(place.across, over_um=7.0, generator=generator)
    patches = smooth_noise(generator, shape=place.depth.shape, cells=50)
    amount = 0.92 + 0.35 * np.exp(-np.abs(place.depth - 7) / 7) + 0.09 * streaks + 0.07 * patches
    amount = enlarge(np.maximum(amount, 0.3) * _edge(place.depth, width_um=9.0), shape=place.shape)
    return light * _absorbed(amount, INK[artefact.detail])


def _fold(light: np.ndarray, place: Place, artefact: Artefact, mpp: float) -> np.ndarray:
    """Two further layers of the neighbouring tissue over the first, a little out of focus: they lie higher."""
    way = np.array([np.cos(artefact.angle), -np.sin(artefact.angle)])  # across the band, as (down, right)
    layers = light.copy()
    for far_um in (0.8 * artefact.thick_um, -0.5 * artefact.thick_um):
        layers *= np.roll(light, tuple(np.rint(way * far_um / mpp).astype(int)), axis=(0, 1))
    layers = _blurred(layers, sigma=1.0 / mpp)
    crease = 0.12 * np.exp(-(((place.depth - 3) / 2.5) ** 2))  # a dark line where the tissue turns
    inside = enlarge(_edge(place.depth, width_um=2.5), shape=place.shape)[..., None]
    return (light + (layers - light) * inside) * _absorbed(enlarge(crease, shape=place.shape), (0.8, 1.0, 0.9))


def _bubble(light: np.ndarray, place: Place, artefact: Artefact, mpp: float) -> np.ndarray:
    """Air between slide and coverslip: a dark rim with a bright line inside; tissue in it is dull, shifted, unsharp."""
    shift = tuple(np.rint(rng(artefact.texture, "shift").uniform(-4, 4, 2) / mpp).astype(int))
    inner = _blurred(np.roll(light, shift, axis=(0, 1)), sigma=1.3 / mpp) * np.float32(0.78) + np.float32(0.17)
    inside = enlarge(_edge(place.depth - 3, width_um=4.0), shape=place.shape)[..., None]
    depth = place.depth
    rim = 0.70 * np.exp(-(((depth - 3) / 3.5) ** 2)) + 0.14 * np.exp(-np.abs(depth - 10) / 16) * (depth > -10)
    shine = enlarge(0.13 * np.exp(-(((depth - 12) / 3.0) ** 2)), shape=place.shape)[..., None]
    mixed = light + (inner - light) * inside
    mixed = mixed + (1.02 - mixed) * shine * 4
    return mixed * _absorbed(enlarge(rim * _edge(depth + 6, width_um=6.0), shape=place.shape), (0.92, 1.0, 1.05))


def _out_of_focus(light: np.ndarray, place: Place, artefact: Artefact, mpp: float) -> np.ndarray:
    """From sharp over a little to strongly blurred, as the focus moves away from the tissue."""
    depth = enlarge(place.depth, shape=place.shape)
    result = light
    for share, start in ((0.3, -25.0), (1.0, 5.0)):
        weight = np.clip((depth - np.float32(start)) / 30, 0, 1)[..., None]
        result = result + (_blurred(light, sigma=share * artefact.blur_um / mpp) - result) * weight
    return result


def _tear(light: np.ndarray, place: Place, artefact: Artefact, mpp: float) -> np.ndarray:
    """Glass where tissue was, a few fibres across it, and tissue bunched up along its edges."""
    strands = _along_line(place.along + 0.35 * place.across, over_um=9.0, generator=rng(artefact.texture, "strands"))
    depth = place.depth - 16 * np.maximum(strands - 1.4, 0)
    gone = enlarge(_edge(depth, width_um=2.5), shape=place.shape)
    bunched = enlarge(0.55 * np.exp(-np.abs(depth) / 5) * (depth > -16), shape=place.shape)
    return light ** ((1 - gone) * (1 + bunched))[..., None]


_PAINTERS: dict[str, Callable[[np.ndarray, Place, Artefact, float], np.ndarray]] = {
    "pen": _pen,
    "fold": _fold,
    "bubble": _bubble,
    "out_of_focus": _out_of_focus,
    "tear": _tear,
}


def _dust(picture: np.ndarray, *, generator: np.random.Generator, mpp: float) -> np.ndarray:
    """Grey specks and a few hairs over the whole picture (h, w, 3) uint8."""
    height, width = picture.shape[:2]
    grey = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(grey)
    for _ in range(int(generator.integers(15, 45))):
        x, y = generator.random(2) * (width, height)
        rx, ry = np.exp(generator.normal(1.1, 0.6, 2)) / mpp
        pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=int(generator.integers(90, 210)))
    for _ in range(int(generator.integers(1, 4))):
        start, turn = generator.random(2) * (width, height), generator.uniform(0, 2 * np.pi)
        turns = turn + np.cumsum(generator.normal(0, 0.25, 25))
        steps = np.column_stack([np.cos(turns), np.sin(turns)]) * 6 / mpp
        path = start + np.cumsum(steps, axis=0)
        pen.line([tuple(point) for point in path], fill=120, width=round(2.5 / mpp), joint="curve")
    light = pyvips.Image.new_from_array(np.asarray(grey)).gaussblur(2.0 / mpp, precision="integer").numpy()
    picture[:] = picture * (light.reshape(height, width, 1) / np.float32(255))
    return picture


def _absorbed(amount: np.ndarray, density: tuple[float, float, float]) -> np.ndarray:
    """Share of light (h, w, 3) left by `amount` (h, w) of a dye of that optical density."""
    return np.exp(amount[..., None] * (-np.log(10) * np.array(density)).astype(np.float32))


def _edge(depth: np.ndarray, *, width_um: float) -> np.ndarray:
    """0 outside, 1 inside, rising over `width_um` around depth 0."""
    return np.clip(depth / width_um + 0.5, 0, 1)


def _along_line(field: np.ndarray, *, over_um: float, generator: np.random.Generator) -> np.ndarray:
    """Noise of deviation about 1 that depends on one coordinate, `field` (h, w) in µm, only."""
    ticks = np.arange(field.min(), field.max() + over_um, over_um)
    return np.interp(field, ticks, generator.standard_normal(len(ticks)))


def _blurred(light: np.ndarray, *, sigma: float) -> np.ndarray:
    """Gaussian blur of (h, w, 3), in steps of a grey level, which is fast; `sigma` in px."""
    grey = np.clip(light * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    return pyvips.Image.new_from_array(grey).gaussblur(sigma, precision="integer").numpy() / np.float32(255)
