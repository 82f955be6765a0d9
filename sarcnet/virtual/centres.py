"""The two virtual hospitals: who is treated there, how long they are followed, how their slides look.

Shares and medians are assumptions around the targets of the published series (see `sarcnet.virtual.patients`). That
the hospitals differ is the point: a model that learns the scanner instead of the tumour must be caught.
"""

from __future__ import annotations

from dataclasses import dataclass

from sarcnet.compendium.faults import SarcnetError


@dataclass(frozen=True)
class CaseMix:
    """Shares add up to 1 and follow the order of the categories in `sarcnet.cohort.schema`."""

    histotypes: tuple[float, float, float, float, float, float]
    sites: tuple[float, float, float]  # lower limb, upper limb, trunk wall
    age_median: float  # years
    male: float  # share
    size_median: float  # mm
    deep: float  # share
    chemotherapy: float  # shift of the log-odds to treat
    radiotherapy: float


@dataclass(frozen=True)
class FollowUp:
    """Time between surgery and the day the data were frozen, evenly spread; loss at a constant yearly rate."""

    years_min: float
    years_max: float
    loss_per_year: float


@dataclass(frozen=True)
class Scanner:
    """How a slide is stained and scanned. Stain vectors are optical densities in red, green, blue at unit amount."""

    stain: str  # HE or HES, as in slides.csv
    mpp: float  # µm/px of the finest level
    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    saffron: tuple[float, float, float]  # zero for HE
    glass: tuple[float, float, float]  # intensity of empty glass, 0-255
    blur_um: float  # standard deviation of the optics
    noise: float  # grey levels, standard deviation
    jpeg_quality: int


@dataclass(frozen=True)
class Centre:
    """One hospital. `missing`: share of patients whose value the registry lacks, by column."""

    name: str
    mix: CaseMix
    follow_up: dict[str, FollowUp]  # by series
    missing: dict[str, float]
    scanner: Scanner


CLB = Centre(
    name="CLB",
    mix=CaseMix((0.53, 0.20, 0.16, 0.05, 0.03, 0.03), (0.64, 0.12, 0.24), 61.5, 0.53, 82.0, 0.88, 0.25, 0.0),
    follow_up={"training": FollowUp(4.5, 14.0, 0.025), "validation": FollowUp(3.5, 8.0, 0.02)},
    missing={"size_mm": 0.02, "depth": 0.01, "mitoses_per_10_hpf": 0.09, "necrosis_fraction": 0.07, "margins": 0.05},
    scanner=Scanner(
        stain="HES",
        mpp=0.5022,
        haematoxylin=(0.66, 0.68, 0.32),
        eosin=(0.06, 0.82, 0.36),
        saffron=(0.02, 0.24, 0.62),
        glass=(243.0, 242.0, 240.0),
        blur_um=0.42,
        noise=2.2,
        jpeg_quality=82,
    ),
)
IB = Centre(
    name="IB",
    mix=CaseMix((0.48, 0.23, 0.20, 0.05, 0.02, 0.02), (0.66, 0.12, 0.22), 63.5, 0.54, 76.0, 0.85, -0.25, 0.1),
    follow_up={"training": FollowUp(4.0, 11.0, 0.04), "validation": FollowUp(3.0, 7.0, 0.03)},
    missing={"size_mm": 0.04, "mitoses_per_10_hpf": 0.05, "necrosis_fraction": 0.04, "margins": 0.10, "site": 0.01},
    scanner=Scanner(
        stain="HE",
        mpp=0.4545,
        haematoxylin=(0.74, 0.63, 0.22),
        eosin=(0.12, 0.86, 0.26),
        saffron=(0.0, 0.0, 0.0),
        glass=(246.0, 245.0, 247.0),
        blur_um=0.34,
        noise=1.6,
        jpeg_quality=88,
    ),
)
CENTRES = {centre.name: centre for centre in (CLB, IB)}


def virtual_centre(name: str) -> Centre:
    """The virtual hospital of that name.

    Raises:
        SarcnetError: there is none.
    """
    if name not in CENTRES:
        raise SarcnetError(f"There is no virtual centre '{name}'; there are {', '.join(CENTRES)}.")
    return CENTRES[name]
