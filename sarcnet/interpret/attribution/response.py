"""How the predicted risk answers to a clinical variable, and what a step of log-odds means in risk.

A curve is a partial dependence (Friedman, Annals of Statistics 2001): every patient is given the same value of one
variable, keeps slide and all other variables, and the mean risk is taken. The intervals say how much the curve would
have come out differently with other *training* patients. They are had for nothing, since each network was trained
without one fold: the grouped jackknife (Quenouille 1956; Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 11) takes K networks, each without one of K groups, and gives the variance (K - 1) / K Σ_k (θ_k - mean)².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit
from scipy.stats import norm

from sarcnet.cohort.schema import PATIENTS
from sarcnet.model.clinical import CATEGORIES, clinical_values
from sarcnet.model.crossval import Member, mean_over
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_scores, scores_to_risks

GRID = 15  # values of a numeric variable
SHOWN_QUANTILES = (0.05, 0.95)  # of a numeric variable: no curve where hardly anybody is
HALF_STEP = 0.05  # log-odds, for the slope of the risk
WHOLE = {column.name: column for column in PATIENTS if column.whole}


def points_per_log_odds(model: TrainedStack, patients: Patients, *, use: np.ndarray) -> float:
    """Percentage points of risk that one log-odds is worth near the patients' own scores.

    Args:
        model: the explained stack.
        patients: n patients.
        use: (n, E) 1 for the members that are asked for each patient.

    Returns:
        The mean over patients.
    """
    scores = predict_scores(model.network, patients)
    up, down = (
        mean_over(scores_to_risks(model, scores + way, clinical=patients.clinical), use)
        for way in (np.float32(HALF_STEP), np.float32(-HALF_STEP))
    )
    return float(100 * (up - down).mean() / (2 * HALF_STEP))


def clinical_scores(model: TrainedStack, clinical: np.ndarray) -> np.ndarray:
    """(n, E): what the clinical variables add to the score, if fusion is late. clinical (n, p) with NaN."""
    tiles = torch.zeros(len(clinical), 0, model.network.shape.feature_dim)
    with torch.no_grad():
        return model.network(tiles, torch.zeros(len(clinical), 0, dtype=torch.bool), torch.from_numpy(clinical)).numpy()


def grid_of(table: pd.DataFrame, variable: str) -> list[object]:
    """Values at which a variable's curve is drawn: every category or grade, or a grid between the 5th and 95th percentile."""
    if variable in CATEGORIES:
        return [value for value in CATEGORIES[variable] if (table[variable] == value).any()]
    known = pd.to_numeric(table[variable], errors="coerce").dropna()
    if variable in WHOLE:
        return sorted(known.unique().tolist())
    low, high = (float(known.quantile(q)) for q in SHOWN_QUANTILES)
    return np.linspace(low, high, GRID).tolist()


def respond(
    model: TrainedStack, patients: Patients, table: pd.DataFrame, *, variables: Sequence[str], level: float
) -> pd.DataFrame:
    """Mean risk when everybody has the same value of one variable, for each value of each variable.

    Args:
        model: the stack of all folds and repeats.
        patients: n patients.
        table: their rows of patients.csv, in the same order.
        variables: clinical variables of the model.
        level: of the intervals.

    Returns:
        One row a variable and value: variable, value, risk, low, high (over training patients; formed on the logit of
        the risk, so that they stay between 0 and 1), n.
    """
    late = model.network.shape.fusion == "late"
    image = predict_scores(model.network, patients) - clinical_scores(model, patients.clinical)  # (n, E)
    rows = []
    for variable in variables:
        for value in grid_of(table, variable):
            same = table.assign(**{variable: value})
            clinical = clinical_values(same, variables=model.protocol.clinical_variables).astype(np.float32)
            scores = (
                image + clinical_scores(model, clinical)
                if late
                else predict_scores(model.network, replace(patients, clinical=clinical))
            )
            risks = scores_to_risks(model, scores, clinical=clinical)  # (n, E)
            mean = risks.mean(axis=0, dtype=np.float64)  # (E,)
            half = norm.ppf((1 + level) / 2) * jackknife_error(logit(mean), model.members)
            low, high = (float(expit(logit(mean.mean()) + way * half)) for way in (-1, 1))
            rows.append({"variable": variable, "value": value, "risk": mean.mean(), "low": low, "high": high,
                         "n": len(table)})  # fmt: skip
    return pd.DataFrame(rows, columns=["variable", "value", "risk", "low", "high", "n"])


def jackknife_error(values: np.ndarray, members: Sequence[Member]) -> float:
    """Standard error of a quantity of which each member gives one value, (E,), having been trained without one fold.

    Repeats are so many jackknives of the same patients: their variances are averaged. NaN with one fold.
    """
    frame = pd.DataFrame({"repeat": [m.repeat for m in members], "value": np.asarray(values, dtype=float)})
    groups = frame.groupby("repeat")["value"]
    variance = groups.agg(
        lambda own: (len(own) - 1) / len(own) * ((own - own.mean()) ** 2).sum() if len(own) > 1 else np.nan
    )
    return float(np.sqrt(variance.mean()))
