"""Parameters of notebook 00."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sarcnet.cohort.endpoint import OutcomeName
from sarcnet.cohort.schema import SERIES
from sarcnet.compendium.params import Settings

CENTRES_MAX = 20
Control = Literal["none", "no_signal", "shuffled", "confounded"]  # virtual_cohort.patients.controls says what each is
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,15}$")]
Count = Annotated[int, Field(ge=1, le=9999)]


class CohortSettings(Settings):
    """Which cohort: a simulated one and its size, or a given folder (the sizes are then ignored)."""

    run_dir: str = Field(description="folder of the run")
    cohort_dir: str = Field(description="folder of the cohort, one sub-folder per hospital")
    cohort_kind: Literal["simulated", "public", "private"] = Field(description="simulated: generate it here")
    seed: int = Field(ge=0, description="seed of the virtual patients and their slides")
    centres: list[Name] = Field(min_length=1, max_length=CENTRES_MAX, description="virtual hospitals")
    patients_training: list[Count] = Field(description="virtual patients of the training series, hospital by hospital")
    patients_validation: list[Count] = Field(description="virtual patients of the validation series, likewise")
    several_slides_share: float = Field(ge=0, le=1, description="share of patients with two slides or three")
    tiff_centres: list[Name] = Field(description="hospitals whose slides are plain TIFFs; the others write SVS")
    slide_width_um: float = Field(ge=200, le=20000, description="width of a rendered slide, µm")
    slide_height_um: float = Field(ge=200, le=20000, description="height of a rendered slide, µm")
    artefact_share: float = Field(
        ge=0, le=1, description="share of slides with an artefact: pen, a fold, a bubble, blur, …"
    )
    cohort_control: Control = Field(description="cohort in which something must not be found")
    outcome: OutcomeName = Field(description="the event: metastasis (death competes) or mfs (metastasis or death)")
    jobs: int = Field(ge=1, le=256, description="processes, one slide each")

    @model_validator(mode="after")
    def _hospitals_fit_together(self) -> Self:
        twice = sorted({name for name in self.centres if self.centres.count(name) > 1})
        faults = [f"centres names {name} more than once; give each hospital a name of its own" for name in twice]
        strange = sorted(set(self.tiff_centres) - set(self.centres))
        faults += [f"tiff_centres names {name}, which is not among centres; name one of them" for name in strange]
        for series in SERIES:
            given = len(getattr(self, f"patients_{series}"))
            if given != len(self.centres):
                faults.append(
                    f"patients_{series} holds {given} numbers for {len(self.centres)} centres; give one for each"
                )
        if faults:
            raise ValueError("; ".join(faults) + ".")
        return self

    def counts(self) -> dict[str, dict[str, int]]:
        """Patients by centre and series."""
        numbers = {series: getattr(self, f"patients_{series}") for series in SERIES}
        return {name: {series: numbers[series][k] for series in SERIES} for k, name in enumerate(self.centres)}
