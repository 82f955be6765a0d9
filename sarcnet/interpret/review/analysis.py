"""What a review shows: whether pathologists look, agree with others and themselves, and see what the model reacts to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.correlation import weighted_spearman
from sarcnet.evaluation.metrics.multiple_testing import holm
from sarcnet.interpret.review.design import CANNOT_JUDGE, QUESTIONS
from sarcnet.interpret.review.kappa import NO_ANSWER, cohen, fleiss, light, with_interval
from sarcnet.interpret.review.parse import Answers

#: measure: what it says. Fleiss' κ takes categories without order; weights are quadratic, so that far disagreement counts
#: more: the mean over pairs of readers, and on tiles seen twice all readers together.
MEASURES = {
    "fleiss": "between readers, Fleiss",
    "weighted": "between readers, weighted",
    "within": "same tile twice, weighted",
}


@dataclass(frozen=True)
class ReviewResults:
    """Tables of a review: `checks` of :func:`check_pathologists`, `agreement` of :func:`agreement_table`, `association` of
    :func:`association_table`.
    """

    checks: pd.DataFrame
    agreement: pd.DataFrame
    association: pd.DataFrame


def analyse_answers(
    answers: Answers, *, samples: int, level: float, rng: Callable[[str], np.random.Generator]
) -> ReviewResults:
    """Whether the pathologists look, agree with each other and with themselves, and see what the model reacts to.

    Args:
        answers: of `read_answers`.
        samples: resamples of the patients.
        level: coverage of the intervals.
        rng: a name ("agreement", "association") to the generator of its resamples.

    Returns:
        The three tables; agreement and association have intervals from resampling patients.

    Raises:
        SarcnetError: the key names no tile.
    """
    return ReviewResults(
        checks=check_pathologists(answers),
        agreement=agreement_table(answers, samples=samples, level=level, rng=rng("agreement")),
        association=association_table(answers, samples=samples, level=level, rng=rng("association")),
    )


def check_pathologists(answers: Answers) -> pd.DataFrame:
    """One row per pathologist: reader, checks, failed, failed_items. A check is failed when any of its answers is not allowed.

    What is missing on a check is not failed, since it is counted as missing already.
    """
    checks = answers.key.loc[answers.key["kind"] == "check", ["item_id", "expected"]]
    given = answers.answers[answers.answers["state"] != "missing"].merge(checks, on="item_id")
    text = given["answer"].astype(str).where(given["state"] == "answered", CANNOT_JUDGE)
    wrong = [answer not in allowed.split("|") for answer, allowed in zip(text, given["expected"], strict=True)]
    failed = given.loc[wrong, ["reader", "item_id"]].drop_duplicates().groupby("reader")["item_id"]
    table = pd.DataFrame({"checks": len(checks)}, index=pd.Index(answers.pathologists, name="reader"))
    table = table.assign(failed=failed.size(), failed_items=failed.agg(", ".join))
    return table.fillna({"failed": 0, "failed_items": ""}).astype({"failed": int}).reset_index()


def answer_matrix(answers: Answers, *, items: pd.Series, question: str) -> np.ndarray:
    """(items, pathologists) answers to one question, NO_ANSWER where there is none."""
    cells = answers.answers[answers.answers["question"] == question]
    wide = cells.pivot(index="item_id", columns="reader", values="answer")
    return wide.reindex(index=list(items), columns=answers.pathologists).fillna(NO_ANSWER).to_numpy(int)


def agreement_table(answers: Answers, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """For each question and each of MEASURES: question, measure, kappa, low, high, tiles, patients, readers.

    Fleiss' κ rests on tiles that every pathologist answered, the weighted κ of a pair on those that both did. Intervals come
    from resampling patients; with one pathologist there is nothing between pathologists (NaN).
    """
    key = answers.key
    tiles, repeats = key[key["kind"] == "tile"], key[key["kind"] == "repeat"]
    rows = []
    for question in QUESTIONS:
        once, again, first = (
            answer_matrix(answers, items=items, question=question)
            for items in (tiles["item_id"], repeats["item_id"], repeats["first_item_id"])
        )
        count, given = once.shape[1], (once >= 0).sum(axis=1)
        twice = ((first >= 0) & (again >= 0)).any(axis=1)
        measured = {
            "fleiss": (partial(fleiss, once), (given == count) & (given > 1), tiles),
            "weighted": (partial(light, once), given > 1, tiles),
            "within": (partial(_within, first, again), twice, repeats),
        }
        for measure, (statistic, used, shown) in measured.items():
            patient_ids = shown["patient_id"].tolist()
            found = with_interval(statistic, used=used, clusters=patient_ids, samples=samples, level=level, rng=rng)
            rows.append((question, measure, found.value, found.low, found.high, found.tiles, found.patients, count))
    columns = ["question", "measure", "kappa", "low", "high", "tiles", "patients", "readers"]
    return pd.DataFrame(rows, columns=columns)


def _within(first: np.ndarray, again: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) κ of all pathologists with themselves: their answers in one column, each tile's weight repeated for each."""
    return cohen(first.ravel(), again.ravel(), weights=np.repeat(weights, first.shape[1], axis=1))


def association_table(answers: Answers, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """For each question: does the model's contribution rise with what pathologists see?

    Spearman's correlation over tiles between the mean answer of those who gave one and the tile's strength
    (contribution times the number of the patient's tiles). The interval is the percentile interval from resampling patients
    with all their tiles, P the share of resamples beyond zero, two-sided, raised by Holm's rule for the number of questions.
    Tiles were drawn from both ends of the strength on purpose, which makes ρ larger than it is over all tiles: it says which
    patterns the model reacts to, not how much of the score they explain.

    Returns:
        question, rho, low, high, p, high_minus_low (mean answer on tiles of the high stratum minus the low one), tiles,
        patients, unanswered (tiles that nobody could judge, left out).
    """
    tiles = answers.key[answers.key["kind"] == "tile"]
    if not len(tiles):
        raise SarcnetError("The key names no tile, so nothing can be related to the contributions.")
    strength = tiles["strength"].to_numpy(float)
    rows = []
    for question in QUESTIONS:
        matrix = answer_matrix(answers, items=tiles["item_id"], question=question)
        given = matrix >= 0
        used = given.sum(axis=1) > 0
        mean = (matrix * given).sum(axis=1) / np.maximum(given.sum(axis=1), 1)
        found = with_interval(
            partial(weighted_spearman, mean, strength), used=used, clusters=tiles["patient_id"].tolist(), samples=samples,
            level=level, rng=rng,
        )  # fmt: skip
        ends = [mean[used & (tiles["stratum"] == name).to_numpy()] for name in ("high", "low")]
        gap = ends[0].mean() - ends[1].mean() if all(map(len, ends)) else np.nan
        counts = (found.tiles, found.patients, int((~used).sum()))
        rows.append((question, found.value, found.low, found.high, found.p, gap, *counts))
    columns = ["question", "rho", "low", "high", "p", "high_minus_low", "tiles", "patients", "unanswered"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p=holm(table["p"].to_numpy(float)))
