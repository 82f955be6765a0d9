"""When metastases come, and what hides them: treatment, death, the end of follow-up.

Metastasis follows a population cure model with proportional hazards (Yakovlev 1996, Tsodikov 2003): cumulative hazard
H(t | x) = θ exp(η(x)) F(t), so that the share exp(−θ exp(η)) never metastasises and every hazard ratio is constant in
time. F is a Weibull distribution of shape 1.35; its scale of 1.65 years gives those who do metastasise times as early
as the mixture cure model that fits TCGA (scale 1.2). η is linear in √size (concave: the hazard flattens for large
tumours), depth, histotype, a little age, chemotherapy (hazard ratio 0.7) and features of the tumour, three of which
(cellularity, nuclear area, anisokaryosis) do not enter the grade. Death without metastasis competes, growing with age
(Gompertz). Coefficients are assumptions, set with `virtual_cohort.patients.calibration`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import OutcomeName
from virtual_cohort.patients.centres import FollowUp
from virtual_cohort.patients.random_numbers import RandomNumbers

THETA = 0.32
SHAPE, SCALE_YEARS = 1.35, 1.65
CHEMOTHERAPY_HR = 0.7
LOG_HR = {
    "sqrt_size": 0.45,  # per √cm
    "deep": 0.45,
    "age": 0.05,  # per 10 years
    "z_mitoses": 0.68,
    "z_necrosis": 0.50,
    "z_cellularity": 0.27,
    "z_nuclear_area": 0.25,
    "z_anisokaryosis": 0.22,
}
HISTOTYPE_LOG_HR = (0.0, 0.45, -0.35, 0.10, 0.10, 0.20)  # in the order of the schema's histotypes
DEATH_AT_65 = 0.011  # per year
DEATH_PER_YEAR_OF_AGE = 0.085


def log_hazard_ratio(patients: pd.DataFrame, *, pathology: pd.DataFrame, histotype: np.ndarray) -> np.ndarray:
    """η before treatment, (n,): 0 for a superficial UPS of 8 cm at 64 years with average pathology."""
    eta = LOG_HR["sqrt_size"] * (np.sqrt(patients["size_mm"].to_numpy() / 10) - np.sqrt(8))
    eta = eta + LOG_HR["deep"] * (patients["depth"] == "deep").to_numpy()
    eta = eta + LOG_HR["age"] * (patients["age_years"].to_numpy() - 64) / 10
    eta = eta + np.asarray(HISTOTYPE_LOG_HR)[histotype]
    for name in (name for name in LOG_HR if name.startswith("z_")):
        eta = eta + LOG_HR[name] * pathology[name].to_numpy()
    return eta


def metastasis_cdf(years: np.ndarray) -> np.ndarray:
    """F(t): share of the whole hazard of metastasis that has passed by then."""
    return -np.expm1(-((np.maximum(years, 0) / SCALE_YEARS) ** SHAPE))


def metastasis_years(eta: np.ndarray, *, uniform: np.ndarray) -> np.ndarray:
    """Time to metastasis in years, infinite for the cured; inverts S(t) = exp(−θ e^η F(t)) = uniform."""
    share = -np.log(uniform) / (THETA * np.exp(eta))
    cured = share >= 1
    return np.where(cured, np.inf, SCALE_YEARS * (-np.log1p(-np.where(cured, 0.0, share))) ** (1 / SHAPE))


def death_years(age_years: np.ndarray, *, uniform: np.ndarray) -> np.ndarray:
    """Time to death without metastasis in years: Gompertz in age."""
    start = DEATH_AT_65 * np.exp(DEATH_PER_YEAR_OF_AGE * (age_years - 65))
    return np.log1p(-DEATH_PER_YEAR_OF_AGE * np.log(uniform) / start) / DEATH_PER_YEAR_OF_AGE


def true_risk(
    eta: np.ndarray,
    *,
    age_years: np.ndarray,
    horizon_years: float,
    outcome: OutcomeName = "metastasis",
    steps: int = 200,
) -> np.ndarray:
    """Probability of an event by the horizon, (n,).

    Args:
        eta: (n,) log hazard ratio of metastasis, treatment included.
        age_years: (n,) at diagnosis.
        horizon_years: horizon.
        outcome: "metastasis": cumulative incidence of metastasis with death competing, by the midpoint rule in time.
            "mfs": probability of metastasis or death, one minus the product of both survival functions.
        steps: of the midpoint rule.
    """
    edges = np.linspace(0, horizon_years, steps + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    rate = THETA * np.exp(eta)
    if outcome == "mfs":
        hazard = rate * metastasis_cdf(np.asarray(horizon_years)) + _death_hazard(age_years, years=horizon_years)
        return -np.expm1(-hazard)
    risk = np.zeros(len(eta))
    for before, after, at in zip(metastasis_cdf(edges[:-1]), metastasis_cdf(edges[1:]), middle, strict=True):
        risk += np.exp(-_death_hazard(age_years, years=at)) * (np.exp(-rate * before) - np.exp(-rate * after))
    return risk


def _death_hazard(age_years: np.ndarray, *, years: float) -> np.ndarray:
    """(n,) cumulative hazard of death without metastasis by then."""
    start = DEATH_AT_65 * np.exp(DEATH_PER_YEAR_OF_AGE * (np.asarray(age_years) - 65))
    return start * np.expm1(DEATH_PER_YEAR_OF_AGE * years) / DEATH_PER_YEAR_OF_AGE


def observe(metastasis: np.ndarray, *, death: np.ndarray, follow_up: FollowUp, draws: RandomNumbers) -> pd.DataFrame:
    """What the registry holds: mfs_months (one decimal, at least 0.1) and mfs_event (0, 1, 2), whichever came first."""
    freeze = follow_up.years_min + (follow_up.years_max - follow_up.years_min) * draws.uniform["administrative"]
    lost = -np.log(draws.uniform["loss"]) / follow_up.loss_per_year
    times = np.stack([np.minimum(freeze, lost), metastasis, death])  # (3, n)
    event = np.argmin(times, axis=0)
    months = np.maximum(np.round(12 * times.min(axis=0), 1), 0.1)
    return pd.DataFrame({"mfs_months": months, "mfs_event": event})
