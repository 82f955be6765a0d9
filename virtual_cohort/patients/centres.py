"""The virtual hospitals: who is treated there, how long they are followed, how their slides look.

CLB and IB are set by hand; shares and medians are assumptions around the targets of the published series (see
`virtual_cohort.patients.simulate`). Any other name gives a hospital drawn around the two, the same whenever it is named. That
hospitals differ is the point: a model that learns the scanner instead of the tumour must be caught.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarcnet.compendium.seeds import rng


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
        haematoxylin=(0.70, 0.67, 0.26),
        eosin=(0.12, 0.86, 0.26),
        saffron=(0.0, 0.0, 0.0),
        glass=(246.0, 245.0, 247.0),
        blur_um=0.34,
        noise=1.6,
        jpeg_quality=88,
    ),
)
CENTRES = {centre.name: centre for centre in (CLB, IB)}
PATIENTS_OF_A_MIX = 150.0  # a drawn hospital's shares scatter as if counted on so many patients
MPP = (0.4545, 0.4990, 0.5022, 0.5476)  # µm/px of scanners in use


def virtual_centre(name: str) -> Centre:
    """The virtual hospital of that name: CLB, IB, or another one drawn by its name alone."""
    return CENTRES[name] if name in CENTRES else _drawn(name)


def _drawn(name: str) -> Centre:
    """A hospital between and around CLB and IB."""
    generator = rng(0, "centre", name)
    between = float(generator.random())
    return Centre(
        name=name,
        mix=_mix(generator),
        follow_up={series: _follow_up(generator, series=series) for series in CLB.follow_up},
        missing={column: float(generator.uniform(0.01, 0.10)) for column in CLB.missing | IB.missing},
        scanner=_scanner(generator, between=between),
    )


def _mix(generator: np.random.Generator) -> CaseMix:
    def shares(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        expected = (np.array(one) + np.array(other)) / 2
        return tuple(float(share) for share in generator.dirichlet(PATIENTS_OF_A_MIX * expected))

    return CaseMix(
        histotypes=shares(CLB.mix.histotypes, IB.mix.histotypes),  # type: ignore[arg-type]
        sites=shares(CLB.mix.sites, IB.mix.sites),  # type: ignore[arg-type]
        age_median=float(generator.normal(62.5, 1.5)),
        male=float(generator.uniform(0.50, 0.57)),
        size_median=float(generator.normal(79, 4)),
        deep=float(generator.uniform(0.82, 0.90)),
        chemotherapy=float(generator.normal(0, 0.3)),
        radiotherapy=float(generator.normal(0, 0.15)),
    )


def _follow_up(generator: np.random.Generator, *, series: str) -> FollowUp:
    def between(name: str) -> float:
        ends = [float(getattr(centre.follow_up[series], name)) for centre in (CLB, IB)]
        return float(generator.uniform(min(ends), max(ends)))

    return FollowUp(between("years_min"), between("years_max"), between("loss_per_year"))


def _scanner(generator: np.random.Generator, *, between: float) -> Scanner:
    saffron = bool(generator.random() < 0.5)
    base = CLB.scanner if saffron else IB.scanner

    def blend(one: tuple[float, ...], other: tuple[float, ...], spread: float) -> tuple[float, float, float]:
        mixed = (1 - between) * np.array(one) + between * np.array(other) + spread * generator.standard_normal(3)
        red, green, blue = np.maximum(mixed, 0.01)
        return float(red), float(green), float(blue)

    return Scanner(
        stain=base.stain,
        mpp=float(generator.choice(MPP)),
        haematoxylin=blend(CLB.scanner.haematoxylin, IB.scanner.haematoxylin, 0.03),
        eosin=blend(CLB.scanner.eosin, IB.scanner.eosin, 0.03),
        saffron=base.saffron,
        glass=tuple(float(level) for level in generator.uniform(239, 248, 3)),  # type: ignore[arg-type]
        blur_um=float(generator.uniform(0.32, 0.46)),
        noise=float(generator.uniform(1.4, 2.4)),
        jpeg_quality=int(generator.integers(80, 91)),
    )
