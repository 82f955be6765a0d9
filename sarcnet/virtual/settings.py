"""Parameters of notebook 00."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sarcnet.cohort.schema import SERIES
from sarcnet.compendium.params import Settings
from sarcnet.virtual.controls import Control

Counts = Annotated[list[Annotated[int, Field(ge=1, le=9999)]], Field(min_length=2, max_length=2)]


class CohortSettings(Settings):
    """Which cohort: a simulated one and its size, or a given folder (the sizes are then ignored)."""

    run_dir: str = Field(description="folder of the run")
    cohort_dir: str = Field(description="folder of the cohort, one sub-folder per hospital")
    cohort_kind: Literal["simulated", "public", "private"] = Field(description="simulated: generate it here")
    seed: int = Field(ge=0, description="seed of the virtual patients and their slides")
    patients_clb: Counts = Field(description="virtual patients, CLB, training and validation series")
    patients_ib: Counts = Field(description="virtual patients, IB, training and validation series")
    slide_width_um: float = Field(ge=200, le=20000, description="width of a rendered slide, µm")
    slide_height_um: float = Field(ge=200, le=20000, description="height of a rendered slide, µm")
    artefact_share: float = Field(ge=0, le=1, description="share of slides spoilt by pen, a fold, a bubble, blur, …")
    cohort_control: Control = Field(description="cohort in which something must not be found")
    jobs: int = Field(ge=1, le=256, description="processes, one slide each")

    def counts(self) -> dict[str, dict[str, int]]:
        """Patients by centre and series."""
        given = {"CLB": self.patients_clb, "IB": self.patients_ib}
        return {name: dict(zip(SERIES, counts, strict=True)) for name, counts in given.items()}
