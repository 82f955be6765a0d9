"""What cannot be computed is stated in a sentence; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sarcnet.compendium.errors import SarcnetError

P = ParamSpec("P")
R = TypeVar("R")


class FailureLog:
    """Runs what may be impossible with the patients at hand, and keeps a sentence for each time that it was.

    Attributes:
        failures: the sentences, each once, in the order in which they came.

    >>> log = FailureLog()
    >>> log("validation", auc, risk, followup, horizon_months=60.0)  # None, and a sentence, where no AUC exists
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, what: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """What `function` returns, or None when it raises SarcnetError; other errors are defects of the code and pass."""
        try:
            return function(*args, **kwargs)
        except SarcnetError as error:
            self.add(f"{what}: {error}")
            return None

    def add(self, *sentences: str) -> None:
        """Keep sentences, each once."""
        self.failures += [sentence for sentence in sentences if sentence not in self.failures]

    def summary_text(self) -> str:
        """The sentences as a Markdown list, or that all of it could be computed."""
        return "\n".join(f"- {sentence}" for sentence in self.failures) or "All of it could be computed."
