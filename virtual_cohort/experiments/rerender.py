"""Tumours painted again with one knob turned, and their tiles' features: the picture's half of the experiment.

Apart from :mod:`virtual_cohort.experiments.counterfactual`, because the processes that paint need no network and start faster
without one.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.features.store import DTYPE
from sarcnet.slides.reader.opening import SlideFault, open_slide
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import TilePx, Um
from sarcnet.slides.tiling import TileRules, tile_slide
from virtual_cohort.cohort import look_of
from virtual_cohort.patients.centres import virtual_centre
from virtual_cohort.patients.pathology import HISTOTYPE_MALIGNANCY, LOADINGS, Look, pathology
from virtual_cohort.patients.random_numbers import RandomNumbers
from virtual_cohort.rendering.pyramid import write_svs
from virtual_cohort.rendering.render import render_slide

KNOBS = {
    "nuclear_area": "atypia (nuclear area)",
    "cellularity": "tumour cellularity",
    "anisokaryosis": "anisokaryosis",
    "mitoses": "mitoses",
    "necrosis": "necrosis",
    "hyperchromasia": "hyperchromasia",
}
STAIN, ELSEWHERE = "stain", "another part of the tumour"
CONTROLS = (STAIN, ELSEWHERE)
STAIN_PER_STEP = 0.15  # of the strength, for one step: what laboratories differ by from day to day
BASE = "as it is"


@dataclass(frozen=True)
class Variant:
    """One slide to paint: whose tumour, which knob, by how many standard units."""

    patient_id: str
    centre: str
    knob: str
    step: float
    look: Look
    section: str
    stain_strength: float = 1.0


def chosen_patients(scores: pd.DataFrame, *, count: int) -> list[str]:
    """`count` patients evenly spread over the image score. scores: patient_id, image, n_tiles."""
    seen = scores[scores["n_tiles"] > 0].sort_values(["image", "patient_id"])
    places = np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int)
    return seen["patient_id"].iloc[np.unique(places)].tolist()


def turned(row: Mapping[str, Any], *, knob: str, by: float) -> Look:
    """The look of one row of the truth with one latent moved by `by` standard units, the others as they are."""
    histotype = HISTOTYPES.index(str(row["histotype"]))
    hidden = float(row["malignancy"])
    latents = {name: float(row[f"z_{name}"]) + (by if name == knob else 0.0) for name in LOADINGS}
    own = {name: (latents[name] - rho * hidden) / math.sqrt(1 - rho**2) for name, rho in LOADINGS.items()}
    normal = {"malignancy": hidden - HISTOTYPE_MALIGNANCY[histotype], **own}
    table = pathology(RandomNumbers({k: np.array([v]) for k, v in normal.items()}, {}), histotype=np.array([histotype]))
    return look_of({**table.iloc[0].to_dict(), "histotype": row["histotype"]})


def variants(truth: pd.DataFrame, *, patients: Sequence[str], steps: Sequence[float]) -> list[Variant]:
    """The tumours as they are, then every knob and control at every step. truth: one row a patient."""
    rows = truth.set_index("patient_id", drop=False).loc[list(patients)].to_dict("records")
    made = []
    for row in rows:
        base = Variant(str(row["patient_id"]), str(row["centre"]), BASE, 0.0, look_of(row), "counterfactual")
        made.append(base)
        for step in steps:
            made += [replace(base, knob=k, step=step, look=turned(row, knob=k, by=step)) for k in KNOBS]
            made.append(replace(base, knob=STAIN, step=step, stain_strength=1 + STAIN_PER_STEP * step))
            made.append(replace(base, knob=ELSEWHERE, step=step, section=f"counterfactual {step:+g}"))
    return made


@dataclass(frozen=True)
class Rerenderer:
    """How variants are painted and looked at: as the cohort's slides, only smaller.

    seed: the cohort's. rules: notebook 01's. encoder: name of notebook 02's. side_um: of the painted square; the
    default holds about eight tiles of 112 µm.
    """

    seed: int
    rules: TileRules
    encoder: str
    side_um: float = 360.0

    def features(self, variant: Variant, *, runtime: EncoderRuntime) -> np.ndarray:
        """(T, d) features of a variant's tiles; T is 0 where no tile passes.

        The picture takes the way of any slide: JPEG in a pyramid, tissue, grid, quality, the encoder, float16.
        """
        scanner = virtual_centre(variant.centre).scanner
        picture = render_slide(
            self.seed,
            slide_id=f"{variant.patient_id} {variant.section}",
            look=variant.look,
            scanner=scanner,
            width_um=self.side_um,
            height_um=self.side_um,
            stain_strength=variant.stain_strength,
        ).picture
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "variant.svs"
            name = f"VIRTUAL-{variant.centre}"
            write_svs(path, picture=picture, mpp=scanner.mpp, quality=scanner.jpeg_quality, scanner_name=name)
            try:
                corners = tile_slide(path, rules=self.rules).tiles[["x_px", "y_px"]].to_numpy(float)
            except SlideFault:
                return np.zeros((0, runtime.encoder.dim), np.float32)
            handle, info = open_slide(path)
            read = plan(info, tile_um=Um(self.rules.tile_um), tile_px=TilePx(self.rules.tile_px))
            with TileReader(handle, info, read) as reader:
                tiles = np.stack([reader.tile(x, y) for x, y in corners])
        return runtime.encode(tiles).astype(DTYPE).astype(np.float32)


def paint_and_encode(studio: Rerenderer, made: Sequence[Variant], *, jobs: int) -> Iterator[np.ndarray]:
    """Features of each variant, in order, by `jobs` processes."""
    parts = np.array_split(np.arange(len(made)), max(1, len(made) // 8))
    work = (joblib.delayed(_some)(studio, [made[i] for i in part]) for part in parts)
    for some in joblib.Parallel(n_jobs=jobs, return_as="generator")(work):
        yield from some


def _some(studio: Rerenderer, made: Sequence[Variant]) -> list[np.ndarray]:
    runtime = runtime_for(encoder_named(studio.encoder))
    return [studio.features(variant, runtime=runtime) for variant in made]
