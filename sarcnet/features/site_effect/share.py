"""How much of the features is the hospital: stain and scanner rather than tissue."""

from __future__ import annotations

import numpy as np
import pandas as pd


def centre_share(features: np.ndarray, centres: np.ndarray) -> float:
    """Share of the features' total variance that lies between centres, in [0, 1] (the η² of an analysis of variance).

    Args:
        features: (n, d).
        centres: (n,) name of each row's centre.

    Returns:
        The share.
    """
    x = features.astype(np.float64)
    grand = x.mean(axis=0)  # (d,)
    groups = [x[centres == name] for name in np.unique(centres)]
    between = sum(len(group) * ((group.mean(axis=0) - grand) ** 2).sum() for group in groups)
    return float(between / max(((x - grand) ** 2).sum(), np.finfo(float).tiny))


def classify_site(
    features: np.ndarray, table: pd.DataFrame, *, rng: np.random.Generator, folds: int = 5
) -> pd.DataFrame:
    """Let a linear rule name the hospital of slides it has not seen, from the mean of their tiles' features.

    Ridge regression on indicators of the centres (as strong a penalty as there are features), fitted without the
    patients it is asked about. For looking only: no later stage uses it.

    Args:
        features: (n, d) of tiles.
        table: n rows aligned with them: slide_id, patient_id, centre.
        rng: splits patients into folds.
        folds: number of folds.

    Returns:
        One row per slide: slide_id, centre, said (the centre with the highest score), margin (score of the true
        centre minus the best other; positive when right). Empty when there is one centre only.
    """
    slides = table.groupby("slide_id", sort=True)[["patient_id", "centre"]].first().reset_index()
    names = np.unique(slides["centre"])
    if len(names) < 2:
        return slides.assign(said="", margin=np.nan).iloc[:0]
    order = table["slide_id"].to_numpy()
    x = np.stack([features[order == slide_id].mean(axis=0) for slide_id in slides["slide_id"]]).astype(
        np.float64
    )  # (s, d)
    y = (slides["centre"].to_numpy()[:, None] == names).astype(np.float64)  # (s, C)
    patients = slides["patient_id"].to_numpy()
    who = np.unique(patients)
    fold_of = dict(zip(who, rng.permutation(len(who)) % folds, strict=True))
    fold = np.array([fold_of[patient] for patient in patients])
    scores = np.full_like(y, np.nan)
    for k in np.unique(fold):
        scores[fold == k] = _ridge(x[fold != k], y[fold != k], x[fold == k])
    true = y.astype(bool)
    margin = scores[true] - np.where(true, -np.inf, scores).max(axis=1)
    return slides.assign(said=names[scores.argmax(axis=1)], margin=margin)[["slide_id", "centre", "said", "margin"]]


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Scores (m, C) of `new` (m, d) from x (s, d) and y (s, C), in the dual: K = X Xᵀ / d, α = (K + I)⁻¹ (Y -
    mean).
    """
    middle, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    x, new = (x - middle) / spread, (new - middle) / spread
    kernel = x @ x.T / x.shape[1]  # (s, s)
    alpha = np.linalg.solve(kernel + np.eye(len(x)), y - y.mean(axis=0))  # (s, C)
    return y.mean(axis=0) + new @ x.T / x.shape[1] @ alpha
