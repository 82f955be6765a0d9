"""How patients are resampled: the settings that every interval of an evaluation shares, as one object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.bootstrap import resample_counts
from sarcnet.evaluation.predictions import EvaluationSet


@dataclass(frozen=True)
class Resampling:
    """Settings of the bootstrap.

    Attributes:
        samples: number of resamples of the patients.
        level: coverage of the intervals, in (0, 1), for example 0.95.
        seed: root of the named random generators.
        log: gets a sentence for whatever cannot be computed; a new one where none is given.
    """

    samples: int
    level: float
    seed: int
    log: FailureLog = field(default_factory=FailureLog)

    def at_most(self, samples: int) -> Resampling:
        """The same with no more than so many resamples, and with the same log."""
        return replace(self, samples=min(self.samples, samples))

    def rng(self, *names: str) -> np.random.Generator:
        """The generator of this name."""
        return rng(self.seed, *names)

    def counts(self, purpose: str, series: EvaluationSet) -> np.ndarray:
        """(samples, n) how often each patient is drawn, within hospitals; one generator per purpose and series."""
        drawn_by = self.rng(purpose, series.name)
        return resample_counts(series.followup.centre, samples=self.samples, rng=drawn_by)
