"""Parameters of notebook 00."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sarcnet.compendium.params import Settings


class CohortSettings(Settings):
    """Which cohort: a simulated one and its size, or a given folder (the sizes are then ignored)."""

    run_dir: str = Field(description="folder of the run")
    cohort_dir: str = Field(description="folder of the cohort, one sub-folder per hospital")
    cohort_kind: Literal["simulated", "public", "private"] = Field(description="simulated: generate it here")
    seed: int = Field(ge=0, description="seed of the virtual patients and their slides")
    patients_clb_training: int = Field(ge=1, le=9999, description="virtual patients, CLB, training series")
    patients_clb_validation: int = Field(ge=1, le=9999, description="virtual patients, CLB, validation series")
    patients_ib_training: int = Field(ge=1, le=9999, description="virtual patients, IB, training series")
    patients_ib_validation: int = Field(ge=1, le=9999, description="virtual patients, IB, validation series")
    slide_width_um: float = Field(ge=200, le=20000, description="width of a rendered slide, µm")
    slide_height_um: float = Field(ge=200, le=20000, description="height of a rendered slide, µm")
    jobs: int = Field(ge=1, le=256, description="processes, one slide each")

    def counts(self) -> dict[str, dict[str, int]]:
        """Patients by centre and series."""
        return {
            "CLB": {"training": self.patients_clb_training, "validation": self.patients_clb_validation},
            "IB": {"training": self.patients_ib_training, "validation": self.patients_ib_validation},
        }
