"""A simulated pathologist reads the FNCLCC grade off the tumour, with the errors people make.

Scoring (Trojani 1984; Guillou 1997; pathologyoutlines.com): differentiation 1-3 by histotype; mitoses per 10 HPF 0-9
→ 1, 10-19 → 2, ≥ 20 → 3; necrosis none → 0, < 50 % → 1, ≥ 50 % → 2. Sum 2-3 → grade 1, 4-5 → 2, 6-8 → 3.

How well readers agree: 15 pathologists on 25 soft-tissue sarcomas agreed with a panel on necrosis in 81 %, on
differentiation in 74 %, on the mitosis count in 73 % and on the grade in 75 % (Coindre et al., Cancer 1986;58:306-9).
The sizes of the errors below are set so that two of our readers agree about as often, see :func:`agreement`. One thing
differs: here the histotype is known (61 % agreement there), so the differentiation of types with one score is safe.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import poisson

from virtual_cohort.patients.random_numbers import RandomNumbers

MITOSES_ERROR = 0.35  # standard deviation of the log of the field chosen for counting against the whole tumour
MITOSES_COUNTED = 500  # per 10 HPF, where the pathologist stops counting: far beyond the 20 that give the highest score
NECROSIS_ERROR = 0.7  # standard deviation on the logit of the sampled against the true extent
NECROSIS_MISSED = 0.08  # extent at which no block shows any with probability 1/e
DIFFERENTIATION_MISREAD = 0.25  # share read one step off, where the histotype leaves room for doubt


def simulated_grading(draws: RandomNumbers, *, pathology: pd.DataFrame, histotype: np.ndarray) -> pd.DataFrame:
    """What the observer writes down: differentiation, mitoses_per_10_hpf, necrosis_fraction, fnclcc_grade."""
    rate = pathology["mitoses_per_10_hpf"].to_numpy() * np.exp(MITOSES_ERROR * draws.normal["read_mitoses"])
    mitoses = np.minimum(poisson.ppf(draws.uniform["read_mitoses_count"], rate), MITOSES_COUNTED).astype(int)
    true = pathology["necrosis_fraction"].to_numpy()
    seen = expit(logit(np.clip(true, 1e-6, 1 - 1e-6)) + NECROSIS_ERROR * draws.normal["read_necrosis"])
    sampled = (true > 0) & (draws.uniform["any_necrosis"] >= np.exp(-true / NECROSIS_MISSED))
    necrosis = np.where(sampled, np.round(seen, 2), 0.0)
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
    score = differentiation + 1 + np.digitize(mitoses, (10, 20)) + _necrosis_score(necrosis)
    return 1 + np.digitize(score, (4, 6))


def _necrosis_score(fraction: np.ndarray) -> np.ndarray:
    return (fraction > 0).astype(int) + (fraction >= 0.5)


def _differentiation(draws: RandomNumbers, *, pathology: pd.DataFrame, histotype: np.ndarray) -> np.ndarray:
    """Score by histotype: UPS and the pleomorphic sarcomas 3; myxofibrosarcoma 2; leiomyosarcoma 1 to 3 and MPNST 2 or
    3 by how atypical the nuclei look. Misread scores are one step off; myxofibrosarcoma is then taken for UPS."""
    atypia = (pathology["z_nuclear_area"] + pathology["z_anisokaryosis"]).to_numpy() / np.sqrt(2)
    leiomyosarcoma = 1 + np.digitize(atypia + 0.3 * draws.normal["read_differentiation"], (-1.2, 1.0))
    peripheral_nerve = np.where(atypia + 0.3 * draws.normal["read_differentiation"] > 0.8, 3, 2)
    choices = [histotype == 1, histotype == 2, histotype == 3]
    score = np.select(choices, [leiomyosarcoma, np.full(len(draws), 2), peripheral_nerve], default=3)
    slip = (draws.uniform["misread"] < DIFFERENTIATION_MISREAD) & np.isin(histotype, (1, 2, 3))
    lowest = np.where(histotype == 1, 1, 2)
    up = (draws.uniform["misread_way"] < 0.5) & (score < 3) | (score == lowest)
    return np.where(slip, score + np.where(up, 1, -1), score)


def agreement(
    draws: RandomNumbers, *, again: RandomNumbers, pathology: pd.DataFrame, histotype: np.ndarray
) -> pd.Series:
    """Share of tumours that two readings score alike: differentiation, mitoses, necrosis, grade.

    Args:
        draws, again: the two readings of the same n tumours.
        pathology, histotype: the tumours.
    """
    one, two = (simulated_grading(each, pathology=pathology, histotype=histotype) for each in (draws, again))
    scores = {
        "differentiation": lambda read: read["differentiation"].to_numpy(),
        "mitoses": lambda read: np.digitize(read["mitoses_per_10_hpf"], (10, 20)),
        "necrosis": lambda read: _necrosis_score(read["necrosis_fraction"].to_numpy()),
        "grade": lambda read: read["fnclcc_grade"].to_numpy(),
    }
    return pd.Series({name: float((of(one) == of(two)).mean()) for name, of in scores.items()})
