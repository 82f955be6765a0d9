"""What a reader of a prediction study asks, and where this one answers: the items of a checklist, and the headings.

The checklists themselves stand in :mod:`sarcnet.evaluation.tripod` and :mod:`sarcnet.evaluation.probast`; their wording
is ours and short, and who reports a study takes the originals. Answers hold {names} of facts, which
:mod:`sarcnet.evaluation.report` fills from the run's numbers, so that they cannot go stale; sections are headings of
notebooks, and a test looks for each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item; where: (notebook, words of the heading) that answer it, if any do."""

    number: str
    topic: str
    answer: str
    where: tuple[tuple[str, str], ...] = ()


COHORT, FOLLOWED = ("00_cohort", "Who the patients are"), ("00_cohort", "How long")
FOLDERS, TRUTH = ("00_cohort", "A folder for each hospital"), ("00_cohort", "The truth")
LEFT_OUT = ("05_evaluation", "Predictions for patients left out")
YARDSTICK, SURE = ("05_evaluation", "An AUC at five years"), ("05_evaluation", "How sure?")
LATER, SUBGROUPS = ("05_evaluation", "The validation series"), ("05_evaluation", "For whom?")
TRUE, DECIDE = ("05_evaluation", "Are the risks true"), ("05_evaluation", "Would it change a decision?")
GROUPS, FOUND = ("05_evaluation", "Risk groups"), ("05_evaluation", "What we found")
NETWORK, FOLDS = ("03_model", "The network"), ("03_model", "Folds")
