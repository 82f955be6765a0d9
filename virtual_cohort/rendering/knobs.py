"""One pathology knob turned at a time: the same field with little, average and much of a feature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.centres import virtual_centre
from virtual_cohort.patients.pathology import Look
from virtual_cohort.rendering.artefacts import KINDS, draw_artefact
from virtual_cohort.rendering.render import Slide, render_slide

KNOBS = {
    "cellularity_per_mm2": ("cellularity", "nuclei/mm²", "{:.0f}"),
    "nuclear_area_um2": ("nuclear area (atypia)", "µm²", "{:.0f}"),
    "anisokaryosis_cv": ("anisokaryosis", "SD/mean", "{:.2f}"),
    "hyperchromasia": ("hyperchromasia", "relative", "{:.2f}"),
    "mitoses_per_10_hpf": ("mitoses", "per 10 HPF", "{:.0f}"),
    "necrosis_fraction": ("necrosis", "share", "{:.2f}"),
}
STEPS = ("low", "medium", "high")


def knob_values(truth: pd.DataFrame) -> pd.DataFrame:
    """5th, 50th and 95th percentile of each knob over the cohort's patients: rows low, medium, high.

    Args:
        truth: simulated patients with one column per feature.

    Returns:
        One column per feature, in its own unit.
    """
    values = truth[list(KNOBS)].quantile([0.05, 0.5, 0.95])
    values.index = pd.Index(STEPS)
    return values


def medium_look(values: pd.DataFrame, *, histotype: int = 0) -> Look:
    """A tumour with every knob in the middle, but no necrosis, which would hide the others."""
    medium = {name: float(values.loc["medium", name]) for name in KNOBS} | {"necrosis_fraction": 0.0}
    return Look(histotype, *(medium[name] for name in KNOBS))


def field(look: Look, *, centre: str, seed: int, side_um: float = 200.0) -> np.ndarray:
    """The middle of a slide with this look, (h, w, 3) uint8; the same layout whatever the look."""
    slide, mpp = _slide(look, centre=centre, seed=seed, side_um=side_um), virtual_centre(centre).scanner.mpp
    middle = slide.picture.shape[0] * mpp / 2
    return _cut(slide.picture, x_um=middle, y_um=middle, side_um=side_um, mpp=mpp)


def draw_knobs(values: pd.DataFrame, *, centre: str, seed: int, side_um: float = 200.0) -> Figure:
    """A column per knob, low to high from top to bottom, all others in the middle. Mitoses are shown, and pointed at,
    where the tumour divides most, as a pathologist would look for them there; that place is the same in all rows.

    Args:
        values: percentiles of the features, as of :func:`knob_values`.
        centre: virtual hospital whose scanner is used.
        seed: root of the layout of the tissue.
        side_um: side of a field, µm.

    Returns:
        The figure.
    """
    medium, mpp = medium_look(values), virtual_centre(centre).scanner.mpp
    fig, axes = plt.subplots(len(STEPS), len(KNOBS), figsize=(1.75 * len(KNOBS), 6.1), layout="constrained")
    usual = _slide(medium, centre=centre, seed=seed, side_um=side_um)
    middle = usual.picture.shape[0] * mpp / 2
    for column, (name, (label, unit, form)) in enumerate(KNOBS.items()):
        turned: list[dict[str, Any]] = [{name: float(values.loc[step, name])} for step in STEPS]
        slides = [
            usual if look == medium else _slide(look, centre=centre, seed=seed, side_um=side_um)
            for look in (replace(medium, **change) for change in turned)
        ]
        x, y = hot_spot(slides[-1].nuclei, side_um=side_um) if name == "mitoses_per_10_hpf" else (middle, middle)
        for ax, slide, change in zip(axes[:, column], slides, turned, strict=True):
            ax.imshow(_cut(slide.picture, x_um=x, y_um=y, side_um=side_um, mpp=mpp))
            if name == "mitoses_per_10_hpf":
                _point_at(ax, slide.nuclei, x_um=x, y_um=y, side_um=side_um, mpp=mpp)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"{form.format(change[name])} {unit}", fontsize=8)
        axes[0, column].set_title(label, fontsize=9)
    for line, step in enumerate(STEPS):
        axes[line, 0].set_ylabel(step)
    return fig


def _slide(look: Look, *, centre: str, seed: int, side_um: float) -> Slide:
    scanner, size = virtual_centre(centre).scanner, 2.4 * side_um
    return render_slide(seed, slide_id="knobs", look=look, scanner=scanner, width_um=size, height_um=size)


def _cut(picture: np.ndarray, *, x_um: float, y_um: float, side_um: float, mpp: float) -> np.ndarray:
    left, top, side = round((x_um - side_um / 2) / mpp), round((y_um - side_um / 2) / mpp), round(side_um / mpp)
    return picture[top : top + side, left : left + side]


def hot_spot(nuclei: pd.DataFrame, *, side_um: float) -> tuple[float, float]:
    """Middle, in µm, of a square field with as many mitoses as any that is centred between two of them."""
    spots = nuclei.loc[nuclei["class"] == "mitosis", ["x_um", "y_um"]].to_numpy()
    low, high = side_um * 0.6, side_um * 1.8  # the field stays on a slide of 2.4 sides
    if not len(spots):
        return side_um * 1.2, side_um * 1.2
    middles = np.clip((spots[:, None] + spots[None]).reshape(-1, 2) / 2, low, high)
    inside = (np.abs(spots[None] - middles[:, None]) < 0.47 * side_um).all(axis=2).sum(axis=1)
    x, y = middles[int(inside.argmax())]
    return float(x), float(y)


def _point_at(ax: Axes, nuclei: pd.DataFrame, *, x_um: float, y_um: float, side_um: float, mpp: float) -> None:
    """An arrowhead beside each mitosis of the field."""
    spots = nuclei.loc[nuclei["class"] == "mitosis", ["x_um", "y_um"]].to_numpy() - (x_um, y_um) + side_um / 2
    for x, y in spots[((spots > 0) & (spots < side_um)).all(axis=1)]:
        right, down = (1 if place > 25 else -1 for place in (x, y))  # from the side where there is room
        tip, tail = (((x - far * right) / mpp, (y - far * down) / mpp) for far in (8, 21))
        ax.annotate(
            "", tip, tail, arrowprops={"arrowstyle": "-|>,head_width=0.22,head_length=0.4", "color": "black", "lw": 0}
        )


CELLS = {  # what is looked for: how many, how wide a piece of tissue is shown
    "mitoses": (6, 42.0),
    "giant nuclei": (6, 60.0),
}


def draw_cells(values: pd.DataFrame, *, centre: str, seed: int) -> Figure:
    """The six darkest-looking things a pathologist looks for, enlarged: mitotic figures above, giant nuclei below, in a
    tumour with much of both.

    Args:
        values: percentiles of the features, as of :func:`knob_values`.
        centre: virtual hospital whose scanner is used.
        seed: root of the layout of the tissue.

    Returns:
        The figure.
    """
    scanner = virtual_centre(centre).scanner
    high: dict[str, Any] = {
        name: float(values.loc["high", name]) for name in ("mitoses_per_10_hpf", "anisokaryosis_cv")
    }
    slide = render_slide(
        seed, slide_id="cells", look=replace(medium_look(values), **high), scanner=scanner, width_um=700, height_um=700
    )
    kind = {"mitoses": slide.nuclei["class"] == "mitosis", "giant nuclei": slide.nuclei["giant"].astype(bool)}
    fig, axes = plt.subplots(len(CELLS), 6, figsize=(10.5, 3.8), layout="constrained")
    for line, (name, (count, side_um)) in zip(axes, CELLS.items(), strict=True):
        found = slide.nuclei[kind[name]]
        inner = found[["x_um", "y_um"]].apply(lambda column: column.between(40, 660)).all(axis=1)
        found = found[inner].sort_values("area_um2", ascending=False)
        for ax in line:
            ax.set_axis_off()
        for ax, (_, one) in zip(line, found.head(count).iterrows(), strict=False):
            ax.imshow(_cut(slide.picture, x_um=one["x_um"], y_um=one["y_um"], side_um=side_um, mpp=scanner.mpp))
        line[0].set_title(f"{name}, {side_um:.0f} µm wide", fontsize=9, loc="left")
    return fig


def draw_artefacts(
    values: pd.DataFrame, *, centre: str, seed: int, side_um: float = 380.0
) -> tuple[Figure, pd.DataFrame]:
    """One example of each artefact in the same tissue with every knob in the middle, and what and how large it is.

    Args:
        values: percentiles of the features, as of :func:`knob_values`.
        centre: virtual hospital whose scanner is used.
        seed: root of the layout of the tissue.
        side_um: side of a field, µm.

    Returns:
        The figure, and one row per artefact.
    """
    scanner, size, look = virtual_centre(centre).scanner, side_um + 100, medium_look(values)
    fig, axes = plt.subplots(2, len(KINDS) // 2, figsize=(9.6, 6.9), layout="constrained")
    rows = []
    for ax, kind in zip(axes.flat, KINDS, strict=True):
        drawn = draw_artefact(rng(seed, "artefact shown", kind), kind=kind, width_um=size, height_um=size)
        artefact = replace(drawn, x_um=size / 2, y_um=size / 2)
        whole = render_slide(
            seed, slide_id="artefacts", look=look, scanner=scanner, width_um=size, height_um=size, artefact=artefact
        ).picture
        edge = round(50 / scanner.mpp)
        ax.imshow(whole[edge:-edge, edge:-edge])
        ax.set(xticks=[], yticks=[], title=" ".join([artefact.detail, kind.replace("_", " ")]).strip())
        rows.append({name: getattr(artefact, name) for name in ("kind", "detail", "length_um", "thick_um", "blur_um")})
    return fig, pd.DataFrame(rows)
