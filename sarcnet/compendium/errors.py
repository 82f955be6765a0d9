"""Faults that a user can mend, said in full sentences."""

from __future__ import annotations


class SarcnetError(Exception):
    """Something the user can act on: the message says what was found, where, and what to do."""


class ErrorCollector:
    """Collects every fault of an input, so that one run reports them all.

    >>> faults = ErrorCollector()
    >>> faults.add("patients.csv, row 3: age_years is -4; give an age between 0 and 120.")
    >>> faults.raise_if_any("The cohort cannot be read")  # raises SarcnetError with all sentences
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Note one fault; the same sentence is kept once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def raise_if_any(self, heading: str) -> None:
        """Raise one :class:`SarcnetError` that lists all faults under `heading`; do nothing when there are none."""
        if self.sentences:
            count = len(self.sentences)
            listed = "\n".join(f"  - {sentence}" for sentence in self.sentences)
            raise SarcnetError(f"{heading} ({count} fault{'s' if count > 1 else ''}):\n{listed}")
