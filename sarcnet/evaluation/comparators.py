"""What SarcNet is compared with: the FNCLCC grade, and a Cox model on the four variables of the Sarculator.

The Sarculator's own coefficients for metastasis are not available to us (Callegaro et al., Lancet Oncology 2016), so
the second is "Cox on the Sarculator's variables", refitted on each training fold, and never called the Sarculator.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError

from sarcnet.compendium.faults import SarcnetError
from sarcnet.evaluation.attempts import Attempts
from sarcnet.evaluation.auc import DEATH, METASTASIS

FNCLCC, SARCULATOR_VARIABLES, ORACLE = "fnclcc_grade", "sarculator_variables", "oracle"
VARIABLES = ("age_years", "size_mm", "fnclcc_grade", "histotype")
PENALTY = 0.01  # a trace of ridge: keeps a coefficient finite when a histotype has no event in a fold
PENALTY_OF_AGE = 1e-4  # one variable alone needs less
PER_YEARS, MM_PER_CM = 10.0, 10.0
AGE = "age_per_10_years"


class Filler:
    """Replaces missing values by what is usual in the patients it was made from: median of numbers, mode of the rest."""

    def __init__(self, training: pd.DataFrame) -> None:
        self.values: dict[str, object] = {}
        for name in VARIABLES:
            known = training[name].dropna()
            if known.empty:
                raise SarcnetError(
                    f"{name} is missing in all {len(training)} training patients; the comparator needs it."
                )
            numeric = name in ("age_years", "size_mm")
            self.values[name] = known.median() if numeric else known.mode().iloc[0]

    def __call__(self, patients: pd.DataFrame) -> pd.DataFrame:
        """A copy of the four variables without gaps."""
        return pd.DataFrame({name: patients[name].fillna(value) for name, value in self.values.items()})


def grade_score(training: pd.DataFrame, patients: pd.DataFrame) -> np.ndarray:
    """(n,) FNCLCC grade 1, 2, 3 as a score; a missing grade becomes the commonest of the training patients."""
    return Filler(training)(patients)["fnclcc_grade"].astype(float).to_numpy()


def _design(filled: pd.DataFrame, histotypes: list[str]) -> pd.DataFrame:
    """(n, p) age per 10 years, root of the size in cm (concave: study.md's sources), grade and histotype as indicators."""
    grade = filled["fnclcc_grade"].astype(float)
    columns = {
        AGE: filled["age_years"].astype(float) / PER_YEARS,
        "root_size_cm": np.sqrt(filled["size_mm"].astype(float) / MM_PER_CM),
        "grade_2_or_3": (grade >= 2).astype(float),
        "grade_3": (grade >= 3).astype(float),
    }
    columns |= {f"histotype_{name}": (filled["histotype"] == name).astype(float) for name in histotypes}
    return pd.DataFrame(columns)


def cox_risk(
    training: pd.DataFrame, patients: pd.DataFrame, *, horizon_months: float, further: Sequence[str] = ()
) -> np.ndarray:
    r"""(n,) cumulative incidence of metastasis by the horizon for `patients`, from Cox models fitted on `training`.

    One model for the hazard of metastasis, and one for that of death without metastasis, on age alone, for deaths are
    few. With their cumulative hazards :math:`H_1, H_2`, the incidence is
    :math:`\sum_{u \le t} e^{-H_1(u^-) - H_2(u^-)} \, \Delta H_1(u)` (Benichou and Gail, Biometrics 1990;46:813-826): the same
    quantity that SarcNet predicts. Without deaths it is one minus survival.

    Histotypes are told apart when the training patients hold them; the commonest is the reference. Both frames have the
    columns of patients.csv, and the numbers named in `further`, which enter as they stand and may not be missing.

    Raises:
        SarcnetError: the model of metastasis cannot be fitted on these training patients.
    """
    filler = Filler(training)
    filled = filler(training)
    histotypes = sorted(set(filled["histotype"]) - {filled["histotype"].mode().iloc[0]})
    further = list(further)
    design = _design(filled, histotypes).join(training[further])
    new = _design(filler(patients), histotypes).join(patients[further])
    varying = [name for name in design if design[name].nunique() > 1]
    events = int(_had(training, METASTASIS).sum())
    if not varying or not events:
        raise SarcnetError(
            f"cannot be fitted on {len(training)} patients with {events} metastases: "
            + ("none of its variables varies" if events else "there is nothing to learn from")
            + "."
        )
    months = training["mfs_months"].to_numpy(float)
    times = np.unique(months[(_had(training, METASTASIS) == 1) & (months <= horizon_months)])
    try:
        spread = _cumulative_hazard(design[varying], new[varying], training, cause=METASTASIS, times=times)  # (T, n)
    except (ConvergenceError, ValueError) as error:
        raise SarcnetError(
            f"cannot be fitted on {len(training)} patients with {events} metastases: {str(error).splitlines()[0]}"
        ) from None
    died = np.zeros_like(spread)
    if _had(training, DEATH).any() and design[AGE].nunique() > 1:
        with contextlib.suppress(ConvergenceError, ValueError):  # too few deaths to learn from: nobody dies
            died = _cumulative_hazard(
                design[[AGE]], new[[AGE]], training, cause=DEATH, times=times, penalty=PENALTY_OF_AGE
            )
    nothing = np.zeros((1, spread.shape[1]))
    before = np.exp(-np.concatenate([nothing, spread[:-1]]) - died)  # deaths come before what falls on the same day
    return (before * -np.expm1(-np.diff(spread, axis=0, prepend=nothing))).sum(axis=0)


def _cumulative_hazard(
    design: pd.DataFrame,
    new: pd.DataFrame,
    training: pd.DataFrame,
    *,
    cause: int,
    times: np.ndarray,
    penalty: float = PENALTY,
) -> np.ndarray:
    """(T, n) cumulative hazard of one cause for the rows of `new`, the other cause censored."""
    if not len(times):
        return np.zeros((0, len(new)))
    table = design.assign(months=training["mfs_months"].to_numpy(float), event=_had(training, cause))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifelines warns of columns with little variance; the penalty is for them
        model = CoxPHFitter(penalizer=penalty).fit(table, duration_col="months", event_col="event")
    return model.predict_cumulative_hazard(new, times=times).to_numpy()


def _had(patients: pd.DataFrame, cause: int) -> np.ndarray:
    """(n,) 1 where the follow-up ended with this cause, else 0."""
    return (patients["mfs_event"].to_numpy(float) == cause).astype(float)


def unseen(training: pd.DataFrame, patients: pd.DataFrame) -> list[str]:
    """A sentence when `patients` hold histotypes that no training patient has: the Cox model knows nothing of them."""
    new = patients.loc[patients["histotype"].notna(), "histotype"]
    strange = new[~new.isin(training["histotype"].dropna().unique())]
    if strange.empty:
        return []
    return [
        f"{len(strange)} of {len(patients)} patients have a histotype that no training patient has "
        f"({', '.join(sorted(strange.unique()))}); Cox's model takes them for the commonest histotype."
    ]


def out_of_fold(
    patients: pd.DataFrame, folds: pd.DataFrame, *, horizon_months: float, tried: Attempts | None = None
) -> pd.DataFrame:
    """Both comparators for every patient and repeat, fitted without the patient's fold.

    A fold in which a comparator cannot be fitted gets no risks (NaN), with a sentence in `tried`.

    Args:
        patients: the training series with known outcomes.
        folds: patient_id, repeat, fold, as notebook 03 dealt them.

    Returns:
        Tidy frame patient_id, centre, model, repeat, fold, risk (for the grade: the grade).
    """
    made = []
    table = patients.set_index("patient_id", drop=False)
    for (repeat, fold), rows in folds.groupby(["repeat", "fold"]):
        held = table.loc[rows["patient_id"]]
        training = table.drop(index=rows["patient_id"])
        scores = _scores(training, held, horizon_months=horizon_months, tried=tried)
        for model, risk in scores.items():
            frame = held[["patient_id", "centre"]].reset_index(drop=True)
            made.append(frame.assign(model=model, repeat=repeat, fold=fold, risk=risk))
    return pd.concat(made, ignore_index=True)


def oracle(truth: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """The true risks of these patients and of no others, where they are simulated: patient_id, centre, model, risk."""
    own = truth[truth["patient_id"].isin(patients["patient_id"])].reset_index(drop=True)
    return own[["patient_id", "centre"]].assign(model=ORACLE, risk=own["risk_5y_true"])


def _scores(
    training: pd.DataFrame, patients: pd.DataFrame, *, horizon_months: float, tried: Attempts | None
) -> dict[str, np.ndarray]:
    """Risks of both comparators; NaN and a sentence where one cannot be fitted."""
    tried = tried or Attempts()
    tried.say(*unseen(training, patients))
    grade = tried("the FNCLCC grade", grade_score, training, patients)
    cox = tried("Cox on the Sarculator's variables", cox_risk, training, patients, horizon_months=horizon_months)
    nothing = np.full(len(patients), np.nan)
    return {
        FNCLCC: nothing if grade is None else grade,
        SARCULATOR_VARIABLES: nothing if cox is None else cox,
    }


def for_new_patients(
    training: pd.DataFrame, patients: pd.DataFrame, *, horizon_months: float, tried: Attempts | None = None
) -> pd.DataFrame:
    """Both comparators for patients of another series, fitted on all training patients.

    Returns:
        patient_id, centre, model, risk (NaN, with a sentence in `tried`, where one cannot be fitted).
    """
    if patients.empty:
        return pd.DataFrame(columns=["patient_id", "centre", "model", "risk"])
    scores = _scores(training, patients, horizon_months=horizon_months, tried=tried)
    frame = patients[["patient_id", "centre"]].reset_index(drop=True)
    return pd.concat([frame.assign(model=model, risk=risk) for model, risk in scores.items()], ignore_index=True)
