"""What each tile and each clinical variable added to the prediction that was evaluated.

The network's score is a sum, η = Σ_t a_t (w·h_t - r) + Σ_j v_j ĉ_j, so its parts need no approximation. In repeated
cross-validation a patient is predicted once a repeat, by the one member that was not trained on this patient. Here
exactly these members are taken, and their *scores* are averaged over the repeats: an average of sums is the sum of
the averages, so the averaged contributions of a patient add up to the averaged score to the last digit that float32
keeps. Risks could not be treated so, since a risk is no sum; they enter as they were evaluated, repeat by repeat, and
are held against those computed from the scores here.

A score that is no sum (TransMIL, early fusion) is shared out by integrated gradients
(:mod:`sarcnet.interpret.attribution.gradients`): its parts add up to the score within a stated error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.interpret.attribution import gradients
from sarcnet.interpret.attribution.tiles import extreme_tiles
from sarcnet.model.crossval import fold_matrix, mean_over, out_of_fold
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_scores, scores_to_risks

#: Stage that leaves the model's files and its out-of-fold risks.
PRODUCERS = {"sarcnet_pooled": "03_model", "sarcnet_fedavg": "04_federation"}
TOLERANCE = 1e-4  # of a score (log-odds) or a risk; float32 on another machine stays well below it
NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Explanation:
    """The evaluated out-of-fold scores of n patients, taken apart.

    tiles: one row a tile: patient_id, centre, slide_id, tile, x_px, y_px (level-0 corner), attention, contribution
        (log-odds; all tiles of a patient sum to the image score), strength (contribution times the number of the
        patient's tiles: their mean is the image score, so tiles of patients with few and many tiles compare).
    clinical: one row a patient and variable: patient_id, centre, variable, contribution (log-odds).
    patients: one row a patient: patient_id, centre, n_tiles, image, clinical, start (0 where the score is a sum),
        score = start + image + clinical, risk (as evaluated, mean over repeats), baseline_risk (the same members' risk at
        the start).
    repeats: members averaged for each patient.
    score_gap, risk_gap: largest disagreement found with the forward pass and with the evaluated risks.
    method: how the parts were had, and their error, in a sentence.
    """

    tiles: pd.DataFrame
    clinical: pd.DataFrame
    patients: pd.DataFrame
    repeats: int
    score_gap: float
    risk_gap: float
    method: str

    def ends(self, *, count: int, per_patient_max: int) -> dict[str, pd.DataFrame]:
        """ "top" and "bottom": the tiles that raise and that lower the score most; see `extreme_tiles`."""
        limits = {"count": count, "per_patient_max": per_patient_max}
        return {
            name: extreme_tiles(self.tiles, **limits, highest=highest)
            for name, highest in (("top", True), ("bottom", False))
        }


def explain(model: TrainedStack, patients: Patients, *, folds: pd.DataFrame, oof: pd.DataFrame) -> Explanation:
    """Take apart every patient's score under the members that have not seen the patient.

    Args:
        model: the stack of all folds and repeats of one model, trained on all hospitals.
        patients: training series; those who are in no fold (no outcome) have no out-of-fold risk and are left out.
        folds: patient_id, repeat, fold.
        oof: the evaluated risks of this model: patient_id, repeat, fold, risk.

    Returns:
        Parts of the scores, of n patients in the order of `patients`.

    Raises:
        SarcnetError: naming patients whose contributions do not add up to their score, whose risk is not the evaluated
            one, or who lack an evaluated risk.
    """
    dealt = (fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members) == 1).any(axis=1)
    patients = patients.select(dealt)
    left_out = fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members) == 1  # (n, E)
    scores = predict_scores(model.network, patients)  # (n, E), the forward pass that predicts
    shared = gradients.parts_of(model, patients, use=left_out)
    parts = shared.found
    score_gap = _check_scores(
        parts.scores,
        expected=mean_over(scores, left_out),
        tolerance=TOLERANCE if model.network.additive else gradients.TOLERANCE,
    )
    risks = out_of_fold(
        scores_to_risks(model, scores, clinical=patients.clinical),
        folds=folds,
        patient_ids=patients.patient_ids,
        centres=patients.centres,
        members=model.members,
    )
    risk_gap = _check_risks(risks, evaluated=oof)
    starts = np.repeat(shared.start[:, None], model.network.shape.members, axis=1).astype(np.float32)  # (n, E)
    baseline = scores_to_risks(model, starts)
    frame = parts.scores.assign(
        centre=patients.centres,
        n_tiles=patients.bags.sizes,
        risk=parts.scores["patient_id"].map(risks.groupby("patient_id")["risk"].mean()),
        start=shared.start,
        baseline_risk=mean_over(baseline, left_out),
    )
    order = ["patient_id", "centre", "n_tiles", "image", "clinical", "start", "score", "risk", "baseline_risk"]
    return Explanation(
        tiles=_tiles(parts.tiles, frame),
        clinical=by_variable(parts.clinical).merge(frame[["patient_id", "centre"]], on="patient_id"),
        patients=frame[order],
        repeats=int(left_out.sum(axis=1).max(initial=0)),
        score_gap=score_gap,
        risk_gap=risk_gap,
        method=gradients.sentence(score_gap, additive=model.network.additive),
    )


def by_variable(clinical: pd.DataFrame) -> pd.DataFrame:
    """Sum the columns of a variable (its categories, and the mark that it was missing): patient_id, variable,
    contribution.

    clinical: patient_id, column, contribution, with columns named as in `clinical_columns`.
    """
    variable = clinical["column"].str.replace(r"(=.*|_missing)$", "", regex=True)
    named = clinical.assign(variable=variable)
    return named.groupby(["patient_id", "variable"], as_index=False, sort=False)["contribution"].sum()


def _tiles(tiles: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    known = tiles.merge(patients[["patient_id", "centre", "n_tiles"]], on="patient_id", validate="many_to_one")
    known["strength"] = known["contribution"] * known.pop("n_tiles")
    order = ["patient_id", "centre", "slide_id", "tile", "x_px", "y_px", "attention", "contribution", "strength"]
    return known[order]


def _check_scores(found: pd.DataFrame, *, expected: np.ndarray, tolerance: float) -> float:
    gap = np.abs(found["score"].to_numpy(dtype=float) - expected)
    faults = ErrorCollector()
    for row in np.flatnonzero(~(gap <= tolerance))[:NAMED_AT_MOST]:
        faults.add(
            f"Patient {found['patient_id'].iloc[row]}: the contributions add up to {found['score'].iloc[row]:.5f}, the "
            f"model's score is {expected[row]:.5f}."
        )
    faults.raise_if_any("The contributions are not those of the model that predicts")
    return float(gap.max(initial=0.0))


def _check_risks(found: pd.DataFrame, *, evaluated: pd.DataFrame) -> float:
    keys = ["patient_id", "repeat", "fold"]
    both = found.merge(evaluated[[*keys, "risk"]], on=keys, how="left", suffixes=("", "_evaluated"))
    gap = (both["risk"] - both["risk_evaluated"]).abs()
    faults = ErrorCollector()
    for row in both[~(gap <= TOLERANCE)].head(NAMED_AT_MOST).itertuples():
        evaluated_as = "missing" if pd.isna(row.risk_evaluated) else f"{row.risk_evaluated:.5f}"
        faults.add(
            f"Patient {row.patient_id}, repeat {row.repeat}: the model gives the risk {row.risk:.5f}, the evaluated one "
            f"is {evaluated_as}. Run the notebook that trained this model again."
        )
    faults.raise_if_any("A heat map of this model would not explain the risks that were evaluated")
    return float(gap.max()) if len(gap) else 0.0
