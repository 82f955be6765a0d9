"""The comparators on real patients of TCGA-SARC, to set beside what the simulation gives.

The table (patient, histotype, fnclcc, distant_met, time_dm_years, dod) is that of 206 patients in the repository
QuantitativeBiology/Sarcoma-TC-Clusters on GitHub (MIT licence). It has no sizes, so the Cox model is left with grade and
histotype, and how metastases were ascertained is not documented. What was found is kept in tcga_206.json, so that the
report can be renewed without the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.cohort.tcga import REVIEWED, read_grades
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.paths import shown
from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.comparators.cox import FNCLCC, cox_risk
from sarcnet.evaluation.metrics.auc import CENSORED, DEATH, METASTASIS, Followup
from sarcnet.evaluation.metrics.bootstrap import resample_auc
from sarcnet.evaluation.metrics.concordance import concordance
from sarcnet.model.crossval import make_folds

RECORD = Path(__file__).with_name("tcga_206.json")
NO_SIZE = "grade_and_histotype"
FOLDS, REPEATS, SAMPLES, LEVEL = 4, 20, 2000, 0.95
COLUMNS = ("patient", "histotype", "fnclcc", "distant_met", "time_dm_years", "dod")


def without_size(
    table: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    horizon_months: float,
    seed: int,
    histotypes: Sequence[str] = HISTOTYPES,
) -> np.ndarray:
    """(n, R) out-of-fold risks of the Cox model on grade and histotype, in the R repeats of `folds`."""
    dealt = folds.pivot(index="patient_id", columns="repeat", values="fold").reindex(table["patient_id"]).to_numpy()
    risk = np.full(dealt.shape, np.nan)
    for repeat, column in enumerate(dealt.T):
        for fold in np.unique(column):
            held = column == fold
            risk[held, repeat] = cox_risk(
                table[~held], table[held], horizon_months=horizon_months, seed=seed,
                variables=("fnclcc_grade", "histotype"), histotypes=histotypes,
            )  # fmt: skip
    return risk


def course(table: pd.DataFrame, followup: Followup, *, horizon_months: float) -> dict[str, float]:
    """Months to metastasis (quartiles of those seen), freedom from metastasis at the horizon, shares of the grades."""
    metastasis = followup.event == METASTASIS
    early = pd.Series(followup.months[metastasis])
    found = {f"months_to_metastasis_q{q}": float(early.quantile(q / 100)) for q in (25, 50, 75)}
    found["free_of_metastasis_5y"] = float(KaplanMeierFitter().fit(followup.months, metastasis).predict(horizon_months))
    return found | {f"grade_{g}": float((table["fnclcc_grade"] == g).mean()) for g in (1, 2, 3)}


def read_real(path: Path) -> pd.DataFrame:
    """The table as patients: patient_id, centre, fnclcc_grade, histotype (as reviewed there), mfs_months, mfs_event.

    Death of the disease without a recorded metastasis competes; deaths of other causes are not in the table.

    Raises:
        SarcnetError: a column is missing, a grade is none, or a patient comes twice.
    """
    read_grades(path)  # names what is wrong with patients and grades
    raw = pd.read_csv(path)
    absent = [name for name in COLUMNS if name not in raw]
    if absent:
        raise SarcnetError(f"{shown(path)} lacks the columns {', '.join(absent)}: give the table of the 206 patients.")
    raw = raw.dropna(subset=[name for name in COLUMNS if name != "dod"]).reset_index(drop=True)
    died = (raw["distant_met"] == 0) & (raw["dod"] == 1)
    return pd.DataFrame(
        {
            "patient_id": raw["patient"],
            "centre": "TCGA",
            "fnclcc_grade": raw["fnclcc"].astype(float),
            "histotype": raw["histotype"],
            "mfs_months": raw["time_dm_years"] * 12,
            "mfs_event": np.where(raw["distant_met"] == 1, METASTASIS, np.where(died, DEATH, CENSORED)),
        }
    )


def _risks(table: pd.DataFrame, *, horizon_months: float, seed: int) -> dict[str, np.ndarray]:
    folds = make_folds(table, folds=FOLDS, repeats=REPEATS, seed=seed)
    types = tuple(table["histotype"].value_counts().index)
    cox = without_size(table, folds, horizon_months=horizon_months, seed=seed, histotypes=types)
    return {FNCLCC: table["fnclcc_grade"].to_numpy()[:, None], NO_SIZE: cox}


def _followup(table: pd.DataFrame) -> Followup:
    return Followup(table["mfs_months"].to_numpy(), table["mfs_event"].to_numpy(int), table["centre"].to_numpy(str))


def concordances(risks: dict[str, np.ndarray], followup: Followup, *, horizon_months: float) -> dict[str, float]:
    """Harrell's C by the horizon of risks (n, R), mean over the repeats, under <model>_c."""
    return {
        f"{model}_c": float(
            np.mean([concordance(one, followup, upto_months=horizon_months, weighted=False) for one in risk.T])
        )
        for model, risk in risks.items()
    }


def real_record(path: Path, *, horizon_months: float, seed: int) -> dict[str, Any]:
    """What RECORD holds of the patients in `path`, see :func:`read_real`.

    Returns:
        patients, metastases, deaths, others (patients with a histotype outside the study), figures (by the names of the
        simulated studies), intervals (of the AUCs: low, high), censored (Harrell's C with deaths censored).
    """
    table = read_real(path)
    followup, risks = _followup(table), _risks(table, horizon_months=horizon_months, seed=seed)
    drawn = resample_auc(
        risks, followup, horizon_months=horizon_months, samples=SAMPLES, level=LEVEL, rng=rng(seed, "real patients")
    )
    gaps = {model: drawn.estimate(model) for model in risks}
    alive = table.assign(mfs_event=np.where(table["mfs_event"] == METASTASIS, METASTASIS, CENSORED))
    other = _risks(alive, horizon_months=horizon_months, seed=seed)
    found = concordances(risks, followup, horizon_months=horizon_months)
    return {
        "patients": len(table),
        "metastases": int((table["mfs_event"] == METASTASIS).sum()),
        "deaths": int((table["mfs_event"] == DEATH).sum()),
        "others": int((~table["histotype"].isin(list(REVIEWED))).sum()),
        "figures": drawn.point | found | course(table, followup, horizon_months=horizon_months),
        "intervals": {model: [gap.low, gap.high] for model, gap in gaps.items()},
        "censored": concordances(other, _followup(alive), horizon_months=horizon_months),
    }
