"""What SarcNet is compared with: the FNCLCC grade, and Cox models that see no slide.

The Sarculator has two nomograms (Callegaro et al., Lancet Oncology 2016). The one for distant metastases is a
Fine-Gray model of size, grade and histotype; age belongs to the other one, for overall survival. Its coefficients are not
available to us. The comparator is therefore a Cox model refitted on the variables of the Sarculator's metastasis nomogram,
on each training fold; it is never called the Sarculator. Two more rows show what it leaves out: the same with age, and a
Cox model on all clinical variables that the network has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.cohort.outcome import DEATH, METASTASIS
from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.comparators import ridge_cox
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.model.clinical import CATEGORIES, clinical_columns, clinical_values
from sarcnet.model.moments import Moments, table_moments

FNCLCC = "fnclcc_grade"
SARCULATOR_VARIABLES, WITH_AGE, CLINICAL = "sarculator_variables", "sarculator_variables_age", "cox_clinical"
NOMOGRAM = ("size_mm", "fnclcc_grade", "histotype")
AGE = "age_years"


def grade_score(training: pd.DataFrame, patients: pd.DataFrame) -> np.ndarray:
    """(n,) FNCLCC grade as a score; a missing grade becomes the mean of the training patients, as in the network.

    Raises:
        SarcnetError: no training patient has a grade.
    """
    known = clinical_values(training, variables=[FNCLCC])[:, :1]
    if np.isnan(known).all():
        raise SarcnetError(f"{FNCLCC} is missing for all {len(training)} training patients: it is no comparator here.")
    mean = table_moments(known, np.ones((len(known), 1))).mean[0, 0]
    grade = clinical_values(patients, variables=[FNCLCC])[:, 0]
    return np.where(np.isnan(grade), mean, grade)


def _columns(
    patients: pd.DataFrame, *, variables: Sequence[str], further: Sequence[str], histotypes: Sequence[str]
) -> np.ndarray:
    """(n, p) the network's clinical columns, NaN where missing; one more for grade 3, so that grades are categories."""
    values = clinical_values(patients, variables=variables, categories=CATEGORIES | {"histotype": tuple(histotypes)})
    grade = pd.to_numeric(patients[FNCLCC], errors="coerce").to_numpy(float, na_value=np.nan)
    third = np.where(np.isnan(grade), np.nan, grade >= 3)[:, None] if FNCLCC in variables else np.zeros((len(grade), 0))
    return np.hstack([values, third, patients[list(further)].to_numpy(float)])


def cox_risk(
    training: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    horizon_months: float,
    seed: int,
    variables: Sequence[str] = NOMOGRAM,
    further: Sequence[str] = (),
    histotypes: Sequence[str] = HISTOTYPES,
) -> np.ndarray:
    r"""(n,) cumulative incidence of metastasis by the horizon for `patients`, from Cox models fitted on `training`.

    One cause-specific model for the hazard of metastasis and one for that of death without metastasis. The second knows the
    age where age is among the variables, for deaths are few and age tells most of them; else it is the same for everybody,
    so that the risk depends on the variables named and on nothing else. With their cumulative hazards :math:`H_1, H_2`, the
    incidence is :math:`\sum_{u \le t} e^{-H_1(u^-) - H_2(u)} (1 - e^{-\Delta H_1(u)})` (Benichou and Gail, Biometrics
    1990;46:813-826): the same quantity that SarcNet predicts. Without deaths it is one minus survival.

    The columns are the network's (root of the size, indicators of categories), and missing values are treated as there: the
    mean of the training patients, with an indicator. The ridge penalty is chosen within the training patients
    (:mod:`sarcnet.evaluation.comparators.ridge_cox`). What does not vary there, as a variable that is missing
    everywhere, has no part.

    Args:
        training: patients with known outcomes, columns of patients.csv.
        patients: n patients, same columns.
        horizon_months: horizon of the risk.
        seed: root of the generator that deals the inner folds.
        variables: clinical variables.
        further: names of numbers that enter as well and may not be missing.
        histotypes: categories of the histotype, the reference first.

    Returns:
        (n,) risks.

    Raises:
        SarcnetError: the model of metastasis cannot be fitted on these training patients.
    """
    months = training["mfs_months"].to_numpy(float)
    cause = training["mfs_event"].to_numpy(float)
    events = int((cause == METASTASIS).sum())
    names = [*clinical_columns(variables), *further]
    if not events:
        raise SarcnetError(f"cannot be fitted on {len(training)} patients without an event.")
    hazards = []
    times = np.unique(months[(cause == METASTASIS) & (months <= horizon_months)])
    ages = [name for name in variables if name == AGE]
    for which, own, more in ((METASTASIS, list(variables), list(further)), (DEATH, ages, [])):
        model = _fit(training, cause=which, variables=own, further=more, histotypes=histotypes, seed=seed)
        varies = model.moments.inverse_std[0] > 0
        if which == METASTASIS and not varies.any():
            raise SarcnetError(
                f"cannot be fitted on {len(training)} patients with {events} events: none of its variables varies "
                f"({', '.join(names)})."
            )
        new = model.standardised(_columns(patients, variables=own, further=more, histotypes=histotypes))
        hazards.append(model.fitted.cumulative_hazard(new, times=times))
    spread, died = hazards  # (T, n) each
    nothing = np.zeros((1, len(patients)))
    before = np.exp(-np.concatenate([nothing, spread[:-1]])[: len(times)] - died)  # deaths come first on the same day
    return (before * -np.expm1(-np.diff(spread, axis=0, prepend=nothing))).sum(axis=0)


@dataclass(frozen=True)
class _Model:
    """A cause-specific Cox model, the standardised columns (n, p) of its training patients, and how to standardise others."""

    fitted: ridge_cox.Cox
    moments: Moments
    x: np.ndarray

    def standardised(self, columns: np.ndarray) -> np.ndarray:
        return _standardised(columns, self.moments)


def _standardised(columns: np.ndarray, moments: Moments) -> np.ndarray:
    """(n, q) the columns that vary in training, on the scale of the training patients; 0, their mean, where missing."""
    return np.nan_to_num((columns - moments.mean) * moments.inverse_std)[:, moments.inverse_std[0] > 0]


def _fit(
    training: pd.DataFrame,
    *,
    cause: int,
    variables: Sequence[str],
    further: Sequence[str],
    histotypes: Sequence[str],
    seed: int,
) -> _Model:
    """The model of the hazard of `cause`."""
    columns = _columns(training, variables=variables, further=further, histotypes=histotypes)
    moments = table_moments(columns, np.ones((len(columns), 1)))
    x = _standardised(columns, moments)
    fitted = ridge_cox.fit(
        x,
        months=training["mfs_months"].to_numpy(float),
        event=training["mfs_event"].to_numpy(float) == cause,
        generator=rng(seed, "comparators", "inner folds", cause),
    )
    return _Model(fitted, moments, x)


def fitted_comparator(training: pd.DataFrame, *, seed: int) -> tuple[pd.DataFrame, ridge_cox.Cox]:
    """The model of metastasis of the clinical comparator, as :func:`cox_risk` fits it, to be looked at.

    Args:
        training: patients with known outcomes, columns of patients.csv.
        seed: root of the generator that splits the inner folds.

    Returns:
        One row per training patient with the standardised columns x0, x1, …, months and event; and the fitted model.
    """
    model = _fit(training, cause=METASTASIS, variables=NOMOGRAM, further=(), histotypes=HISTOTYPES, seed=seed)
    table = pd.DataFrame(model.x, columns=[f"x{k}" for k in range(model.x.shape[1])])
    event = training["mfs_event"].to_numpy(int) == METASTASIS
    return table.assign(months=training["mfs_months"].to_numpy(float), event=event), model.fitted


def _models(clinical_variables: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Variables of each Cox model; the one on all clinical variables only where these are named."""
    models = {SARCULATOR_VARIABLES: NOMOGRAM, WITH_AGE: (*NOMOGRAM, AGE)}
    return models | ({CLINICAL: tuple(clinical_variables)} if clinical_variables else {})


def gaps(training: pd.DataFrame, patients: pd.DataFrame, *, clinical_variables: Sequence[str] = ()) -> list[str]:
    """What these training patients cannot teach: a clause for each variable, and each histotype of `patients`, that none
    of them has, with what the Cox models do about it."""
    wanted = dict.fromkeys([*NOMOGRAM, AGE, *clinical_variables])
    new = patients.loc[patients["histotype"].notna(), "histotype"]
    strange = sorted(new[~new.isin(training["histotype"].dropna().unique())].unique())
    return [
        *(f"has a value of {name}: the Cox models go without it" for name in wanted if training[name].isna().all()),
        *(f"has {name}: the Cox models treat patients who have it as {HISTOTYPES[0]}" for name in strange),
    ]


def gap_sentences(found: dict[str, list[str]], *, total: int) -> list[str]:
    """A sentence for each gap, saying in which of the training folds it was found.

    Args:
        found: for each clause of :func:`gaps`, the folds whose training patients leave it ("repeat 0, fold 2").
        total: number of folds.
    """
    said = []
    for gap, places in found.items():
        where = "No training patient" if len(places) == total else f"Of the training patients for {places[0]}, none"
        more = f" (the same in {len(places)} of {total} folds)" if 1 < len(places) < total else ""
        said.append(f"{where} {gap}{more}.")
    return said


def out_of_fold(
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    horizon_months: float,
    seed: int,
    clinical_variables: Sequence[str] = (),
    log: FailureLog | None = None,
) -> pd.DataFrame:
    """Every comparator for every patient and repeat, fitted without the patient's fold.

    A fold in which a comparator cannot be fitted gets no risks (NaN), with a sentence in `log`.

    Args:
        patients: the training series with known outcomes.
        folds: patient_id, repeat, fold, as notebook 03 dealt them.
        horizon_months: horizon of the risks.
        seed: root of the generators.
        clinical_variables: those of the network, for the Cox model on all of them; none for no such model.
        log: keeps the sentences.

    Returns:
        Tidy frame patient_id, centre, model, repeat, fold, risk (for the grade: the grade).
    """
    log = log or FailureLog()
    made, found = [], defaultdict[str, list[str]](list)
    table = patients.set_index("patient_id", drop=False)
    groups = folds.groupby(["repeat", "fold"])
    for (repeat, fold), rows in groups:
        held = table.loc[rows["patient_id"]]
        training = table.drop(index=rows["patient_id"])
        for gap in gaps(training, held, clinical_variables=clinical_variables):
            found[gap].append(f"repeat {repeat}, fold {fold}")
        scores = _scores(
            training, held, horizon_months=horizon_months, seed=seed, variables=clinical_variables, log=log
        )
        for model, risk in scores.items():
            frame = held[["patient_id", "centre"]].reset_index(drop=True)
            made.append(frame.assign(model=model, repeat=repeat, fold=fold, risk=risk))
    log.add(*gap_sentences(found, total=groups.ngroups))
    return pd.concat(made, ignore_index=True)


def for_new_patients(
    training: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    horizon_months: float,
    seed: int,
    clinical_variables: Sequence[str] = (),
    log: FailureLog | None = None,
) -> pd.DataFrame:
    """Every comparator for patients of another series, fitted on all training patients; arguments as `out_of_fold`.

    Args:
        training: the training patients, columns as `patients`.
        patients: the patients, columns of patients.csv.
        horizon_months: horizon of the outcome, in months.
        seed: root of the named generators.
        clinical_variables: those of the network, for the Cox model on all of them; none for no such model.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        patient_id, centre, model, risk (NaN, with a sentence in `log`, where one cannot be fitted).
    """
    if patients.empty:
        return pd.DataFrame(columns=["patient_id", "centre", "model", "risk"])
    log = log or FailureLog()
    found = {gap: ["all"] for gap in gaps(training, patients, clinical_variables=clinical_variables)}
    log.add(*gap_sentences(found, total=1))
    scores = _scores(
        training, patients, horizon_months=horizon_months, seed=seed, variables=clinical_variables, log=log
    )
    frame = patients[["patient_id", "centre"]].reset_index(drop=True)
    return pd.concat([frame.assign(model=model, risk=risk) for model, risk in scores.items()], ignore_index=True)


def in_time(
    training: pd.DataFrame, patients: pd.DataFrame, *, months: Sequence[float], seed: int, log: FailureLog
) -> pd.DataFrame:
    """The Cox models' risks by each month, as :func:`for_new_patients`: patient_id, centre, model, months, risk.

    Args:
        training: patients with known outcomes.
        patients: the patients, columns of patients.csv.
        months: the horizons, in months.
        seed: root of the named generators.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        One row per patient, model and month.
    """
    frames = [
        for_new_patients(training, patients, horizon_months=month, seed=seed, log=log).assign(months=month)
        for month in months
    ]
    found = pd.concat(frames, ignore_index=True)
    return found[found["model"] != FNCLCC].reset_index(drop=True)


def _scores(
    training: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    horizon_months: float,
    seed: int,
    variables: Sequence[str],
    log: FailureLog,
) -> dict[str, np.ndarray]:
    """Risks of every comparator; NaN and a sentence where one cannot be fitted."""
    scores = {FNCLCC: log("the FNCLCC grade", grade_score, training, patients)}
    for model, own in _models(variables).items():
        what = f"the Cox model on {', '.join(own)}"
        scores[model] = log(what, cox_risk, training, patients, horizon_months=horizon_months, seed=seed, variables=own)
    return {model: np.full(len(patients), np.nan) if risk is None else risk for model, risk in scores.items()}
