"""What cannot be computed is said in a sentence; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sarcnet.compendium.errors import SarcnetError

P = ParamSpec("P")
R = TypeVar("R")


class FailureLog:
    """Runs what may be impossible with the patients at hand, and keeps a sentence for each time that it was.

    >>> tried = FailureLog()
    >>> tried("validation", auc, risk, followup, horizon_months=60.0)  # None, and a sentence, where no AUC exists
    """

    def __init__(self) -> None:
        self.unsaid: list[str] = []

    def __call__(self, what: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """What `function` returns, or None when it raises SarcnetError; other errors are faults of ours and pass."""
        try:
            return function(*args, **kwargs)
        except SarcnetError as error:
            self.say(f"{what}: {error}")
            return None

    def say(self, *sentences: str) -> None:
        """Keep sentences, each once."""
        self.unsaid += [sentence for sentence in sentences if sentence not in self.unsaid]

    def __str__(self) -> str:
        return "\n".join(f"- {sentence}" for sentence in self.unsaid) or "All of it could be computed."
