"""What a review shows: whether readers look, agree with each other and with themselves, and see what the model reacts to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.review.design import CANNOT_JUDGE, CATEGORIES, QUESTIONS
from sarcnet.interpret.review.kappa import NO_ANSWER, cohen, fleiss, light, with_interval
from sarcnet.interpret.review.parse import Filled
from virtual_cohort.experiments.ground_truth import holm

#: measure: what it says
MEASURES = {
    "fleiss": "between readers, categories without order (Fleiss)",
    "weighted": "between readers, far disagreement counts more (mean of pairs, quadratic weights)",
    "within": "of readers with themselves, on tiles seen twice (quadratic weights, all readers together)",
}


def check_readers(filled: Filled, key: pd.DataFrame) -> pd.DataFrame:
    """One row a reader: reader, checks, failed, failed_items. A check is failed when any of its answers is not allowed.

    What is missing on a check is not failed, since it is counted as missing already.
    """
    expected = {
        item_id: set(text.split("|"))
        for item_id, text in key.loc[key["kind"] == "check", ["item_id", "expected"]].to_numpy()
    }
    rows = []
    for reader in filled.readers:
        own = filled.answers[(filled.answers["reader"] == reader) & (filled.answers["state"] != "missing")]
        failed = []
        for item_id, allowed in expected.items():
            given = own[own["item_id"] == item_id]
            said = given["answer"].astype(str).where(given["state"] == "answered", CANNOT_JUDGE)
            if not set(said) <= allowed:
                failed.append(item_id)
        rows.append((reader, len(expected), len(failed), ", ".join(failed)))
    return pd.DataFrame(rows, columns=["reader", "checks", "failed", "failed_items"])


def answer_matrix(filled: Filled, *, items: pd.Series, question: str) -> np.ndarray:
    """(items, readers) answers to one question, NO_ANSWER where there is none; readers as in `Filled.readers`."""
    own = filled.answers[filled.answers["question"] == question]
    wide = own.pivot(index="item_id", columns="reader", values="answer")
    return wide.reindex(index=list(items), columns=filled.readers).fillna(NO_ANSWER).to_numpy(int)


def agreement_table(
    filled: Filled, key: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """For each question and each of MEASURES: question, measure, kappa, low, high, tiles, patients, readers.

    Fleiss' κ rests on tiles that every reader answered, the weighted κ of a pair on those that both did. Intervals come from
    resampling patients; with one reader there is nothing between readers (NaN).
    """
    tiles = key[key["kind"] == "tile"]
    repeats = key[key["kind"] == "repeat"]
    estimate = partial(with_interval, samples=samples, level=level, rng=rng)
    rows = []
    for question in QUESTIONS:
        answers = answer_matrix(filled, items=tiles["item_id"], question=question)
        again = answer_matrix(filled, items=repeats["item_id"], question=question)
        first = answer_matrix(filled, items=repeats["first_item_id"], question=question)
        several = answers.shape[1] > 1
        given = (answers >= 0).sum(axis=1)
        complete, shared = (given == answers.shape[1]) & several, (given > 1) & several
        twice = ((first >= 0) & (again >= 0)).sum(axis=1) > 0
        patient_ids = tiles["patient_id"].tolist()
        estimates = {
            "fleiss": estimate(_fleiss(answers), used=complete, clusters=patient_ids),
            "weighted": estimate(_light(answers), used=shared, clusters=patient_ids),
            "within": estimate(_within(first, again), used=twice, clusters=repeats["patient_id"].tolist()),
        }
        for measure, found in estimates.items():
            counts = (found.tiles, found.patients, answers.shape[1])
            rows.append((question, measure, found.value, found.low, found.high, *counts))
    columns = ["question", "measure", "kappa", "low", "high", "tiles", "patients", "readers"]
    return pd.DataFrame(rows, columns=columns)


def _fleiss(answers: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: fleiss(answers, weights=weights, categories=CATEGORIES)


def _light(answers: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: light(answers, weights=weights, categories=CATEGORIES, weighting="quadratic")


def _within(first: np.ndarray, again: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    readers = first.shape[1]  # answers of all readers in one column, each tile's weight repeated for each reader
    return lambda weights: cohen(
        first.ravel(), again.ravel(), weights=np.repeat(weights, readers, axis=1), categories=CATEGORIES,
        weighting="quadratic",
    )  # fmt: skip


def association_table(
    filled: Filled, key: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """For each question: does the model's contribution rise with what readers see?

    Spearman's correlation over tiles between the mean answer of the readers who gave one and the tile's strength
    (contribution times the number of the patient's tiles). The interval is the percentile interval from resampling patients
    with all their tiles, P the share of resamples beyond zero, two-sided, raised by Holm's rule for the number of questions.
    Tiles were drawn from both ends of the strength on purpose, which makes ρ larger than it is over all tiles: it says which
    patterns the model reacts to, not how much of the score they explain.

    Returns:
        question, rho, low, high, p, high_minus_low (mean answer on tiles of the high stratum minus the low one), tiles,
        patients, unanswered (tiles that no reader could judge, left out).
    """
    tiles = key[key["kind"] == "tile"]
    if not len(tiles):
        raise SarcnetError("The key names no tile, so nothing can be related to the contributions.")
    strength = tiles["strength"].to_numpy(float)
    rows = []
    for question in QUESTIONS:
        answers = answer_matrix(filled, items=tiles["item_id"], question=question)
        given = answers >= 0
        used = given.sum(axis=1) > 0
        mean = (answers * given).sum(axis=1) / np.maximum(given.sum(axis=1), 1)
        found = with_interval(
            lambda weights, mean=mean: weighted_spearman(mean, strength, weights=weights),  # type: ignore[misc]
            used=used, clusters=tiles["patient_id"].tolist(), samples=samples, level=level, rng=rng,
        )  # fmt: skip
        ends = [mean[used & (tiles["stratum"] == name).to_numpy()] for name in ("high", "low")]
        gap = ends[0].mean() - ends[1].mean() if all(map(len, ends)) else np.nan
        counts = (found.tiles, found.patients, int((~used).sum()))
        rows.append((question, found.value, found.low, found.high, found.p, gap, *counts))
    columns = ["question", "rho", "low", "high", "p", "high_minus_low", "tiles", "patients", "unanswered"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p=holm(table["p"].to_numpy(float)))


def weighted_spearman(x: np.ndarray, y: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """(B,) Spearman's correlation of x and y (n,), where weights (B, n) say how often each pair stands in each resample."""
    ranks = [_ranks(values, weights=weights) for values in (x, y)]  # (B, n) each
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
        spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
        return np.where(spread > 1e-9, (weights * a * b).sum(axis=1) / spread, np.nan)


def _ranks(values: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """(B, n) mid-ranks in each resample: all copies of equal values share the mean of the places that they take."""
    _, group = np.unique(values, return_inverse=True)
    inside = np.zeros((len(group), group.max(initial=-1) + 1))
    inside[np.arange(len(group)), group] = 1
    count = weights @ inside  # (B, groups)
    return (np.cumsum(count, axis=1) - (count - 1) / 2)[:, group]
