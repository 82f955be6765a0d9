"""What the tumour is like under the microscope: one hidden malignancy, six features that follow it, each imperfectly.

The hidden malignancy m ~ N(histotype mean, 1) is never seen by anyone. Each feature is z = ρ m + √(1 − ρ²) e with an
own e ~ N(0, 1), then turned into the unit a pathologist would measure. The numbers are assumptions, chosen so that
grades come out as published (study targets) and tissue looks like the histotype.

Anisokaryosis is the coefficient of variation of nuclear area within a tumour. No published figure for pleomorphic
sarcoma was found; in 88 real H&E fields with nuclei outlined by hand (Data Science Bowl 2018, BBBC038, fields of at least
12 nuclei, any tissue) it is 0.61 in the middle and 0.47 to 0.82 in nine tenths, the largest nucleus having 2.7 times the
median area, and 5.2 times in one field of twenty. Our patients range from 0.33 (spindle cells as alike as in a
well-differentiated leiomyosarcoma) to 0.95 (bizarre giant nuclei, which define pleomorphic sarcoma).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from virtual_cohort.patients.random_numbers import RandomNumbers

HISTOTYPE_MALIGNANCY = (0.15, 0.15, -0.35, 0.05, 0.30, 0.30)  # in the order of the schema's histotypes
LOADINGS = {
    "cellularity": 0.55,
    "nuclear_area": 0.55,
    "anisokaryosis": 0.50,
    "hyperchromasia": 0.50,
    "mitoses": 0.65,
    "necrosis": 0.60,
}


@dataclass(frozen=True)
class Look:
    """The patient's pathology as far as it can be seen on a slide, in the units of :func:`pathology`."""

    histotype: int  # index into the schema's histotypes
    cellularity_per_mm2: float
    nuclear_area_um2: float
    anisokaryosis_cv: float
    hyperchromasia: float
    mitoses_per_10_hpf: float
    necrosis_fraction: float


def pathology(draws: RandomNumbers, *, histotype: np.ndarray) -> pd.DataFrame:
    """Latents (`z_…`, standard units) and what they mean on the slide.

    Columns: malignancy; z_<feature>; cellularity_per_mm2 (tumour nuclei), nuclear_area_um2 (mean), anisokaryosis_cv
    (standard deviation of nuclear area / mean), hyperchromasia (relative haematoxylin), mitoses_per_10_hpf (HPF of
    0.1734 mm²), necrosis_fraction.

    Args:
        draws: n patients.
        histotype: (n,) index into the schema's histotypes.
    """
    m = np.asarray(HISTOTYPE_MALIGNANCY)[histotype] + draws.normal["malignancy"]
    table = pd.DataFrame({"malignancy": m})
    for name, rho in LOADINGS.items():
        table[f"z_{name}"] = rho * m + np.sqrt(1 - rho**2) * draws.normal[name]
    myxoid = histotype == 2
    pleomorphic = np.isin(histotype, (0, 4, 5))
    table["cellularity_per_mm2"] = np.exp(np.log(3000) + 0.38 * table["z_cellularity"] - 0.35 * myxoid)
    table["nuclear_area_um2"] = np.exp(np.log(66) + 0.27 * table["z_nuclear_area"] + 0.15 * pleomorphic)
    table["anisokaryosis_cv"] = 0.28 + 0.80 * expit(1.1 * table["z_anisokaryosis"] - 0.70 + 0.25 * pleomorphic)
    table["hyperchromasia"] = np.exp(0.16 * table["z_hyperchromasia"])
    table["mitoses_per_10_hpf"] = np.exp(np.log(20) + 0.85 * table["z_mitoses"])
    extent = expit(-1.5 + 1.3 * table["z_necrosis"])
    table["necrosis_fraction"] = np.where(table["z_necrosis"] > -0.35, extent, 0.0)
    return table
