"""Simulated patients of one series at one hospital, with the truth behind them.

Targets (soft-tissue sarcoma of limbs and trunk wall with complex genomics; TCGA, SEER and French series): age median
63-65, interquartile range 54-76; 50-56 % men; size median 8 cm (5-12), log-normal; 80-88 % deep; grades 1/2/3 about
5/37/58 %; radiotherapy about 60 %, chemotherapy 16-30 %, given by grade, depth and age. How they hang together beyond
that is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from sarcnet.cohort.endpoint import ENDPOINTS
from sarcnet.cohort.schema import HISTOTYPES, PATIENT_COLUMNS, SITES
from virtual_cohort.patients.centres import Centre
from virtual_cohort.patients.outcome import (
    CHEMOTHERAPY_HR,
    death_years,
    log_hazard_ratio,
    metastasis_years,
    observe,
    true_risk,
)
from virtual_cohort.patients.pathology import pathology
from virtual_cohort.patients.random_numbers import RandomNumbers, named_draws
from virtual_cohort.patients.simulated_grading import simulated_grading

HORIZON_YEARS = 5.0


@dataclass(frozen=True)
class VirtualPatients:
    """Aligned, one row a patient: `table` as the hospital knows them (patients.csv), `truth` as nobody does."""

    table: pd.DataFrame
    truth: pd.DataFrame


def virtual_patients(seed: int, *, centre: Centre, series: str, count: int) -> VirtualPatients:
    """The first `count` patients of a series. Patient k is the same whatever `count` is."""
    draws = named_draws(seed, centre=centre.name, series=series, numbers=range(count))
    ids = [f"{centre.name}-{series[0].upper()}{number + 1:04d}" for number in range(count)]
    return simulate(draws, centre=centre, series=series, patient_ids=ids)


def simulate(draws: RandomNumbers, *, centre: Centre, series: str, patient_ids: Sequence[str]) -> VirtualPatients:
    """Turn draws into patients.

    `truth` holds patient_id, centre, the latents and true pathology, linear_predictor (log hazard ratio, treatment
    included), risk_5y_true (cumulative incidence of metastasis by 5 years with death competing),
    mfs_risk_5y_true (probability of metastasis or death by 5 years, one minus metastasis-free survival), and
    metastasis_years, death_years as they would come without the end of follow-up.
    """
    histotype = drawn_category(draws.uniform["histotype"], shares=centre.mix.histotypes)
    tumour = pathology(draws, histotype=histotype)
    patients = _clinical(draws, centre=centre, histotype=histotype, malignancy=tumour["malignancy"].to_numpy())
    patients = pd.concat([patients, simulated_grading(draws, pathology=tumour, histotype=histotype)], axis=1)
    patients = pd.concat([patients, _treatment(draws, centre=centre, patients=patients)], axis=1)
    eta = log_hazard_ratio(patients, pathology=tumour, histotype=histotype)
    eta = eta + np.log(CHEMOTHERAPY_HR) * (patients["chemotherapy"] != "none").to_numpy()
    metastasis = metastasis_years(eta, uniform=draws.uniform["metastasis"])
    age = patients["age_years"].to_numpy()
    death = death_years(age, uniform=draws.uniform["death"])
    seen = observe(metastasis, death=death, follow_up=centre.follow_up[series], draws=draws)
    patients = pd.concat([patients, seen], axis=1)
    patients.insert(0, "patient_id", list(patient_ids))
    patients.insert(1, "series", series)
    truth = tumour.assign(linear_predictor=eta)
    for one in ENDPOINTS.values():
        truth[one.true_risk] = true_risk(eta, age_years=age, horizon_years=HORIZON_YEARS, outcome=one.name)
    truth = truth.assign(metastasis_years=metastasis, death_years=death, histotype=patients["histotype"])
    truth.insert(0, "patient_id", list(patient_ids))
    truth.insert(1, "centre", centre.name)
    return VirtualPatients(_forget(patients[list(PATIENT_COLUMNS)], centre=centre, draws=draws), truth)


def drawn_category(uniform: np.ndarray, *, shares: Sequence[float]) -> np.ndarray:
    """Index of a category drawn with these shares, (n,)."""
    return np.minimum(np.searchsorted(np.cumsum(shares), uniform, side="right"), len(shares) - 1)


def _clinical(draws: RandomNumbers, *, centre: Centre, histotype: np.ndarray, malignancy: np.ndarray) -> pd.DataFrame:
    mix, normal, uniform = centre.mix, draws.normal, draws.uniform
    age = np.clip(np.round(mix.age_median + 15.5 * normal["age"] - 1.5 * (normal["age"] ** 2 - 1)), 18, 96)
    size_cm = mix.size_median / 10 * np.exp(0.62 * (0.15 * malignancy + 0.99 * normal["size"]))
    deep = uniform["depth"] < expit(np.log(mix.deep / (1 - mix.deep)) + 0.8 * (np.log(size_cm) - np.log(8)))
    return pd.DataFrame(
        {
            "age_years": age.astype(int),
            "sex": np.where(uniform["sex"] < mix.male, "male", "female"),
            "size_mm": np.clip(np.round(size_cm * 10 / 5) * 5, 10, 400).astype(int),
            "depth": np.where(deep, "deep", "superficial"),
            "site": np.asarray(SITES)[drawn_category(uniform["site"], shares=mix.sites)],
            "histotype": np.asarray(HISTOTYPES)[histotype],
            "margins": np.asarray(("R0", "R1", "R2"))[drawn_category(uniform["margins"], shares=(0.72, 0.26, 0.02))],
        }
    )


def _treatment(draws: RandomNumbers, *, centre: Centre, patients: pd.DataFrame) -> pd.DataFrame:
    """Chemotherapy and radiotherapy by grade, depth and age: those at higher risk and younger are treated more."""
    high = (patients["fnclcc_grade"] == 3).to_numpy()
    deep = (patients["depth"] == "deep").to_numpy()
    age = patients["age_years"].to_numpy()
    chemotherapy = expit(-2.55 + centre.mix.chemotherapy + 1.3 * high + 0.8 * deep - 0.05 * (age - 64))
    radiotherapy = expit(-0.65 + centre.mix.radiotherapy + 0.7 * high + 0.8 * deep - 0.015 * (age - 64))
    given = {"chemotherapy": chemotherapy, "radiotherapy": radiotherapy}
    return pd.DataFrame(
        {
            name: np.where(
                draws.uniform[name] < share,
                np.where(draws.uniform[f"{name}_time"] < 0.5, "neoadjuvant", "adjuvant"),
                "none",
            )
            for name, share in given.items()
        }
    )


_DRAW_OF = {
    "size_mm": "missing_size",
    "depth": "missing_depth",
    "site": "missing_site",
    "mitoses_per_10_hpf": "missing_mitoses",
    "necrosis_fraction": "missing_necrosis",
    "margins": "missing_margins",
}


def _forget(patients: pd.DataFrame, *, centre: Centre, draws: RandomNumbers) -> pd.DataFrame:
    """Blank what the registry lacks, at the centre's rate."""
    patients = patients.copy()
    for column, share in centre.missing.items():
        blank = draws.uniform[_DRAW_OF[column]] < share
        patients[column] = patients[column].astype(object).where(~blank, other=None)
    return patients
