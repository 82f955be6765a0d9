"""How much each source of information could tell at best: the AUC at 5 years of the Bayes-optimal predictor.

Of all scores that see only some columns, none has a larger AUC than the expected risk given these columns, as ranking
by the likelihood ratio is optimal (Neyman and Pearson). The truth holds each patient's risk, so the expectation is
learnt by regressing that risk itself, not a drawn outcome, on one half of very many patients, and judged on the other.
The AUC is taken over the risks as well: patient i is a case with probability r_i and a control with 1 − r_i, which
leaves out the noise of drawing outcomes. Boosted trees approximate the expectation; what they miss makes the value
slightly too low, never too high beyond the Monte-Carlo error.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from sarcnet.cohort.endpoint import METASTASIS, Endpoint
from sarcnet.compendium.seeds import rng
from virtual_cohort.patients.simulate import VirtualPatients

GRADE = ("fnclcc_grade",)
CLINICAL = ("age_years", "sex", "size_mm", "depth", "site", "histotype", "fnclcc_grade")
PATHOLOGY = (
    "cellularity_per_mm2",
    "nuclear_area_um2",
    "anisokaryosis_cv",
    "hyperchromasia",
    "mitoses_per_10_hpf_true",
    "necrosis_fraction_true",
)
SOURCES = {
    "grade alone": GRADE,
    "clinical variables alone": CLINICAL,
    "true pathology alone": PATHOLOGY,
    "clinical variables and true pathology": (*CLINICAL, *PATHOLOGY),
}
ORACLE = "everything (oracle)"
BATCHES = 20


def expected_auc(score: np.ndarray, *, risk: np.ndarray) -> float:
    """AUC of `score` (n,) where patient i is a case with probability `risk` (n,); equal scores count half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score[order]) > 0]))
    cases, controls = (np.add.reduceat(weight[order], starts) for weight in (risk, 1 - risk))
    below = np.cumsum(controls) - controls / 2
    return float((cases * below).sum() / (cases.sum() * controls.sum()))


def best_auc_by_source(patients: VirtualPatients, *, seed: int, endpoint: Endpoint = METASTASIS) -> pd.DataFrame:
    """Best AUC at 5 years by source of information, with its Monte-Carlo standard error.

    Args:
        patients: n of them; half to learn the expectation on, half to judge.
        seed: root of the generator that halves them.
        endpoint: the event whose risk is meant.

    Returns:
        One row a source: AUC, error (standard error of the mean over batches of patients), n judged.
    """
    risk = patients.truth[endpoint.true_risk].to_numpy()
    order = rng(seed, "information", "halves").permutation(len(risk))  # mixes the centres over halves and batches
    table, risk = _columns(patients).iloc[order].reset_index(drop=True), risk[order]
    learn = np.arange(len(risk)) < len(risk) // 2
    scores = {}
    for name, columns in SOURCES.items():
        model = HistGradientBoostingRegressor(max_iter=200, learning_rate=0.1, random_state=0, early_stopping=False)
        model.fit(table.loc[learn, list(columns)], risk[learn])
        scores[name] = model.predict(table.loc[~learn, list(columns)])
    scores[ORACLE] = risk[~learn]
    rows = {}
    for name, score in scores.items():
        batches = zip(np.array_split(score, BATCHES), np.array_split(risk[~learn], BATCHES), strict=True)
        spread = np.std([expected_auc(part, risk=own) for part, own in batches], ddof=1)
        rows[name] = (expected_auc(score, risk=risk[~learn]), spread / np.sqrt(BATCHES), len(score))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["AUC at 5 years", "error", "n"]).rename_axis("seen")


def _columns(patients: VirtualPatients) -> pd.DataFrame:
    """Numbers for every column of SOURCES; categories as codes, missing values as NaN."""
    table = patients.table.reset_index(drop=True)
    numbers = {
        name: table[name].astype(float) if name.endswith(("years", "mm", "grade")) else _codes(table[name])
        for name in CLINICAL
    }
    truth = {name: patients.truth[name.removesuffix("_true")].to_numpy(float) for name in PATHOLOGY}
    return pd.DataFrame({**numbers, **truth})


def _codes(column: pd.Series) -> pd.Series:
    codes = column.astype("category").cat.codes.astype(float)
    return codes.where(codes >= 0)
