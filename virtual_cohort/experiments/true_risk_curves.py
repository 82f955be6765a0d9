"""True risks of simulated patients, and how they answer to a clinical variable.

To be drawn beside the model's curves of :mod:`sarcnet.interpret.attribution.response`, for the variables that are in the
hazard. The grade is not: it is a pathologist's reading of what is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.endpoint import OutcomeName
from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.interpret.attribution.response import grid_of
from virtual_cohort.patients.outcome import HISTOTYPE_LOG_HR, LOG_HR, true_risk

TRUE = ("age_years", "size_mm", "depth", "histotype")  # variables that are in the hazard of virtual patients


def true_response(
    table: pd.DataFrame, truth: pd.DataFrame, *, variables: Sequence[str], horizon_months: float, outcome: OutcomeName
) -> pd.DataFrame:
    """The same curves of the true risk, for those variables that are in the hazard: variable, value, risk.

    Patients who lack a value enter with the risk that they have: what is not recorded is not turned.
    """
    aligned = truth.set_index("patient_id").loc[table["patient_id"]]
    eta = aligned["linear_predictor"].to_numpy(float)
    age = table["age_years"].to_numpy(float)
    rows = []
    for variable in (name for name in variables if name in TRUE):
        now = _term(variable, table[variable])
        for value in grid_of(table, variable):
            shift = np.nan_to_num(_term(variable, pd.Series([value] * len(table))) - now)
            years = np.full(len(age), float(value)) if variable == "age_years" else age  # type: ignore[arg-type]
            risk = true_risk(eta + shift, age_years=years, horizon_years=horizon_months / 12, outcome=outcome)
            rows.append({"variable": variable, "value": value, "risk": risk.mean()})
    return pd.DataFrame(rows, columns=["variable", "value", "risk"])


def true_risks(table: pd.DataFrame, truth: pd.DataFrame, *, horizon_months: float, outcome: OutcomeName) -> pd.Series:
    """True risk of the outcome by the horizon, by patient_id; table: patient_id and age_years."""
    eta = truth.set_index("patient_id").loc[table["patient_id"], "linear_predictor"].to_numpy(float)
    years = table["age_years"].to_numpy(float)
    risk = true_risk(eta, age_years=years, horizon_years=horizon_months / 12, outcome=outcome)
    return pd.Series(risk, index=table["patient_id"].to_numpy())


def _term(variable: str, values: pd.Series) -> np.ndarray:
    """(n,) log hazard ratio that a variable has in the truth; NaN where it is not recorded."""
    if variable == "age_years":
        return LOG_HR["age"] * values.to_numpy(float) / 10
    if variable == "size_mm":
        return LOG_HR["sqrt_size"] * np.sqrt(values.to_numpy(float) / 10)
    if variable == "depth":
        return values.map({"deep": LOG_HR["deep"], "superficial": 0.0}).to_numpy(float)
    return values.map(dict(zip(HISTOTYPES, HISTOTYPE_LOG_HR, strict=True))).to_numpy(float)


@dataclass(frozen=True)
class TrueRisks:
    """risks: true risk by patient_id. curves: variable, value, risk, for the variables that are in the hazard."""

    risks: pd.Series
    curves: pd.DataFrame


def risks_in_truth(
    table: pd.DataFrame, truth: pd.DataFrame, *, variables: Sequence[str], horizon_months: float, outcome: OutcomeName
) -> TrueRisks:
    """True risks of simulated patients, and how they answer to the clinical variables.

    Args:
        table: rows of patients.csv.
        truth: one row per patient: linear_predictor.
        variables: clinical variables of the model; those that are not in the hazard have no curve.
        horizon_months: of the risk.
        outcome: whose risk it is.

    Returns:
        Risks and curves.
    """
    curves = true_response(table, truth, variables=variables, horizon_months=horizon_months, outcome=outcome)
    return TrueRisks(true_risks(table, truth, horizon_months=horizon_months, outcome=outcome), curves)
