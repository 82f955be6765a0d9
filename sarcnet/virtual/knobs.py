"""One pathology knob turned at a time: the same field with little, average and much of a feature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.compendium.seeds import rng
from sarcnet.virtual.artefacts import KINDS, draw_artefact
from sarcnet.virtual.centres import virtual_centre
from sarcnet.virtual.nuclei import Look
from sarcnet.virtual.render import render_slide

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
    """5th, 50th and 95th percentile of each knob over the cohort's patients: rows low, medium, high."""
    values = truth[list(KNOBS)].quantile([0.05, 0.5, 0.95])
    values.index = pd.Index(STEPS)
    return values


def medium_look(values: pd.DataFrame, *, histotype: int = 0) -> Look:
    """A tumour with every knob in the middle, but no necrosis, which would hide the others."""
    medium = {name: float(values.loc["medium", name]) for name in KNOBS} | {"necrosis_fraction": 0.0}
    return Look(histotype, *(medium[name] for name in KNOBS))


def field(look: Look, *, centre: str, seed: int, side_um: float = 200.0) -> np.ndarray:
    """The middle of a slide with this look, (h, w, 3) uint8; the same layout whatever the look."""
    scanner = virtual_centre(centre).scanner
    size = 2.4 * side_um
    picture = render_slide(seed, slide_id="knobs", look=look, scanner=scanner, width_um=size, height_um=size).picture
    half, middle = round(side_um / scanner.mpp / 2), picture.shape[0] // 2
    return picture[middle - half : middle + half, middle - half : middle + half]


def draw_knobs(values: pd.DataFrame, *, centre: str, seed: int) -> Figure:
    """A column per knob, low to high from top to bottom, all others in the middle."""
    medium = medium_look(values)
    middle = field(medium, centre=centre, seed=seed)
    fig, axes = plt.subplots(len(STEPS), len(KNOBS), figsize=(1.75 * len(KNOBS), 6.1), layout="constrained")
    for column, (name, (label, unit, form)) in enumerate(KNOBS.items()):
        for line, step in enumerate(STEPS):
            value = float(values.loc[step, name])
            turned: dict[str, Any] = {name: value}
            ax = axes[line, column]
            same = value == getattr(medium, name)
            ax.imshow(middle if same else field(replace(medium, **turned), centre=centre, seed=seed))
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_xlabel(f"{form.format(value)} {unit}", fontsize=8)
        axes[0, column].set_title(label, fontsize=9)
    for line, step in enumerate(STEPS):
        axes[line, 0].set_ylabel(step)
    return fig


def draw_artefacts(
    values: pd.DataFrame, *, centre: str, seed: int, side_um: float = 380.0
) -> tuple[Figure, pd.DataFrame]:
    """One example of each artefact in the same tissue with every knob in the middle, and what and how large it is."""
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
