"""A simulated pathologist reads the FNCLCC grade off the tumour, with the errors people make.

Scoring (Trojani 1984; Guillou 1997; pathologyoutlines.com): differentiation 1-3 by histotype; mitoses per 10 HPF 0-9
→ 1, 10-19 → 2, ≥ 20 → 3; necrosis none → 0, < 50 % → 1, ≥ 50 % → 2. Sum 2-3 → grade 1, 4-5 → 2, 6-8 → 3.
The sizes of the reading errors are assumptions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import poisson

from sarcnet.virtual.draws import Draws

MITOSES_ERROR = 0.25  # standard deviation of the log of the field chosen for counting against the whole tumour
NECROSIS_ERROR = 0.45  # standard deviation on the logit of the sampled against the true extent
DIFFERENTIATION_MISREAD = 0.12  # share read one step off, where the histotype has steps


def read_slide(draws: Draws, *, pathology: pd.DataFrame, histotype: np.ndarray) -> pd.DataFrame:
    """What the observer writes down: differentiation, mitoses_per_10_hpf, necrosis_fraction, fnclcc_grade."""
    rate = pathology["mitoses_per_10_hpf"].to_numpy() * np.exp(MITOSES_ERROR * draws.normal["read_mitoses"])
    mitoses = poisson.ppf(draws.uniform["read_mitoses_count"], rate).astype(int)
    true = pathology["necrosis_fraction"].to_numpy()
    seen = expit(logit(np.clip(true, 1e-6, 1 - 1e-6)) + NECROSIS_ERROR * draws.normal["read_necrosis"])
    necrosis = np.where(true > 0, np.round(seen, 2), 0.0)
    differentiation = _differentiation(draws, pathology=pathology, histotype=histotype)
    grade = fnclcc_grade(differentiation, mitoses=mitoses, necrosis=necrosis)
    return pd.DataFrame(
        {
            "differentiation": differentiation,
            "mitoses_per_10_hpf": mitoses,
            "necrosis_fraction": necrosis,
            "fnclcc_grade": grade,
        }
    )


def fnclcc_grade(differentiation: np.ndarray, *, mitoses: np.ndarray, necrosis: np.ndarray) -> np.ndarray:
    """Grade 1, 2 or 3 from the three readings; all (n,).

    >>> fnclcc_grade(np.array([3, 2, 2]), mitoses=np.array([25, 12, 3]), necrosis=np.array([0.1, 0.0, 0.0]))
    array([3, 2, 1])
    """
    score = differentiation + 1 + np.digitize(mitoses, (10, 20)) + (necrosis > 0) + (necrosis >= 0.5)
    return 1 + np.digitize(score, (4, 6))


def _differentiation(draws: Draws, *, pathology: pd.DataFrame, histotype: np.ndarray) -> np.ndarray:
    """Score by histotype: UPS and the pleomorphic sarcomas 3; myxofibrosarcoma 2; leiomyosarcoma 1 to 3 and MPNST 2 or
    3 by how atypical the nuclei look."""
    atypia = (pathology["z_nuclear_area"] + pathology["z_anisokaryosis"]).to_numpy() / np.sqrt(2)
    leiomyosarcoma = 1 + np.digitize(atypia + 0.3 * draws.normal["read_differentiation"], (-1.2, 1.0))
    peripheral_nerve = np.where(atypia + 0.3 * draws.normal["read_differentiation"] > 0.8, 3, 2)
    choices = [histotype == 1, histotype == 2, histotype == 3]
    score = np.select(choices, [leiomyosarcoma, np.full(len(draws), 2), peripheral_nerve], default=3)
    slip = (draws.uniform["misread"] < DIFFERENTIATION_MISREAD) & np.isin(histotype, (1, 3))
    step = np.where(draws.uniform["misread_way"] < 0.5, -1, 1)
    lowest = np.where(histotype == 3, 2, 1)
    return np.where(slip, np.clip(score + step, lowest, 3), score)
