"""Discrete-time hazard: the loss that splits exactly over hospitals, and the risk at a horizon while death competes.

Time is cut at fixed edges e_1 < e_2 < ... < e_K (months; e_0 = 0). A patient with score η meets in interval k =
(e_{k-1}, e_k] the hazard h_k = 1 / (1 + exp(-(α_k + η))), so a higher score is always a higher risk. The negative
log-likelihood of a patient is

    Σ_k  r_k · log(1 + exp(α_k + η)) - m_k · (α_k + η),

r_k = 1 while the patient is at risk in interval k, m_k = 1 if metastasis falls into it. It is a sum over patients:
summed over hospitals it is the pooled loss, which Cox's partial likelihood is not (Andreux et al., arXiv 2006.08997).
A patient censored inside an interval counts as having survived it when at least half of it was observed (Gensheimer &
Narasimhan, PeerJ 2019). Beyond the last edge everybody is censored.

Death without metastasis is the other way to leave. Its hazard g_k = 1 / (1 + exp(-(β_k + δ))) has the same loss with
the parts exchanged: watching for death ends at metastasis, watching for metastasis ends at death. The likelihood of
cause-specific hazards is the product of the two (Prentice et al., Biometrics 1978, doi 10.2307/2530374), so their
losses add, and modelling death does not move the score η. As each h_k and g_k is the hazard were the other cause not
there in that interval, the probability to leave by metastasis follows as in a life table with two decrements that
spread evenly over the interval (Bowers et al., Actuarial Mathematics, 1997, ch. 10), which is Aalen and Johansen's sum:

    F(e_K) = Σ_k S_{k-1} h_k (1 - g_k / 2),        S_k = Π_{j≤k} (1 - h_j)(1 - g_j).

F is the cumulative incidence, what happens to patients as they live and die. Without death, g = 0, it is 1 - Π (1 - h_k).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from sarcnet.cohort.outcome import DEATH, METASTASIS
from sarcnet.compendium.errors import ErrorCollector


@dataclass(frozen=True)
class Intervals:
    """Outcome of n patients on K intervals. What is not given is unknown: zeros, and NaN for months.

    Attributes:
        at_risk: (n, K) float32 of 0 and 1, observed for metastasis in the interval.
        event: (n, K) float32 of 0 and 1, had one in it.
        death_at_risk: (n, K), as at_risk for death without metastasis.
        death: (n, K), as event for death without metastasis.
        months: (n,) float64, follow-up.
        cause: (n,) float32, how it ended: 0 censored, 1 metastasis, 2 death.
    """

    at_risk: np.ndarray
    event: np.ndarray
    death_at_risk: np.ndarray | None = None
    death: np.ndarray | None = None
    months: np.ndarray | None = None
    cause: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.at_risk)
        unknown = {
            "death_at_risk": np.zeros_like(self.at_risk),
            "death": np.zeros_like(self.at_risk),
            "months": np.full(n, np.nan),
            "cause": np.zeros(n, np.float32),
        }
        for name, value in unknown.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def select(self, rows: np.ndarray) -> Intervals:
        """These rows (integers or a mask), in this order."""
        return Intervals(**self.arrays(rows))

    def arrays(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of these rows by name."""
        return {f.name: getattr(self, f.name)[rows] for f in fields(self)}


@dataclass(frozen=True)
class HazardCounts:
    """Events of one cause and patients at risk by interval, (E, K) each, over each member's training patients; they add
    over hospitals."""

    events: np.ndarray
    at_risk: np.ndarray

    def __add__(self, other: HazardCounts) -> HazardCounts:
        return HazardCounts(self.events + other.events, self.at_risk + other.at_risk)

    @property
    def log_odds(self) -> np.ndarray:
        """(E, K): log odds of the hazard with half an event added on each side, finite even where nothing happened."""
        return np.log(self.events + 0.5) - np.log(self.at_risk - self.events + 0.5)


def check_edges(edges_months: Sequence[float], *, horizon_months: float) -> None:
    """Edges must rise from above 0 and contain the horizon; raises SarcnetError with each reason."""
    edges = np.asarray(edges_months, dtype=float)
    faults = ErrorCollector()
    if len(edges) == 0 or edges[0] <= 0 or (np.diff(edges) <= 0).any():
        faults.add(
            f"hazard_edges_months must rise from above 0, found {list(edges_months)}: "
            "give upper edges such as [6, 12, 24, 60]."
        )
    if not np.isclose(edges, horizon_months).any():
        faults.add(
            f"horizon_months {horizon_months:g} is not among hazard_edges_months {list(edges_months)}: "
            "add it as an edge."
        )
    faults.raise_if_any("The time axis of the hazard cannot be used")


def intervals(months: np.ndarray, event: np.ndarray, *, edges_months: Sequence[float]) -> Intervals:
    """Translate follow-up into intervals. months, event: (n,) with NaN where the outcome is unknown: those rows are
    all zero.

    event: 0 censored, 1 metastasis, 2 death without metastasis. Each of the two ends the watching for the other.
    """
    t, cause = np.asarray(months, dtype=float), np.asarray(event, dtype=float)
    known = np.isfinite(t) & np.isfinite(cause)
    at_risk, happened = _watched(t, known=known, hit=known & (cause == METASTASIS), edges_months=edges_months)
    death_at_risk, death = _watched(t, known=known, hit=known & (cause == DEATH), edges_months=edges_months)
    months, kind = np.where(known, t, np.nan), np.where(known, cause, 0).astype(np.float32)
    return Intervals(at_risk, happened, death_at_risk, death, months, kind)


def _watched(
    months: np.ndarray, *, known: np.ndarray, hit: np.ndarray, edges_months: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) at risk of one cause and (n, K) hit by it. hit (n,): the cause ended the watching."""
    upper = np.asarray(edges_months, dtype=float)  # (K,)
    lower = np.concatenate([[0.0], upper[:-1]])
    t = months[:, None]  # (n, 1)
    inside = (t <= upper) & ((t > lower) | ((lower == 0) & (t <= 0)))  # (n, K): the interval of t
    happened = hit[:, None] & inside
    survived = known[:, None] & np.where(hit[:, None], upper < t, (lower + upper) / 2 <= t)
    return (survived | happened).astype(np.float32), happened.astype(np.float32)


def hazard_counts(outcome: Intervals, weights: np.ndarray) -> HazardCounts:
    """Counts of metastasis for each member. weights: (n, E), 1 for a training patient of the member."""
    return _counts(outcome.event, outcome.at_risk, weights)


def death_counts(outcome: Intervals, weights: np.ndarray) -> HazardCounts:
    """The same of death without metastasis."""
    return _counts(np.asarray(outcome.death), np.asarray(outcome.death_at_risk), weights)


def _counts(event: np.ndarray, at_risk: np.ndarray, weights: np.ndarray) -> HazardCounts:
    w = weights.astype(np.float64).T  # (E, n)
    return HazardCounts(w @ event.astype(np.float64), w @ at_risk.astype(np.float64))


def negative_log_likelihood(score: Tensor, *, log_odds: Tensor, at_risk: Tensor, event: Tensor) -> Tensor:
    """(B, E): loss of each patient for each member. score η (B, E); log_odds α (E, K); at_risk, event (B, K)."""
    logit = score[:, :, None] + log_odds[None]  # (B, E, K)
    return (at_risk[:, None, :] * softplus(logit) - event[:, None, :] * logit).sum(dim=2)


def risk(
    score: Tensor,
    *,
    log_odds: Tensor,
    edges_months: Sequence[float],
    horizon_months: float,
    death_score: Tensor | None = None,
    death_log_odds: Tensor | None = None,
) -> Tensor:
    """(n, E): cumulative incidence of metastasis by the horizon. It rises with the score.

    score η (n, E), log_odds α (E, K). death_score δ (n, E) or None for 0, death_log_odds β (E, K); without β nobody dies
    of anything else and the risk is 1 - Π_{e_k <= horizon} (1 - h_k).
    """
    k = int(np.sum(np.asarray(edges_months) <= horizon_months + 1e-9))
    logit = score[:, :, None] + log_odds[None, :, :k]  # (n, E, k)
    if death_log_odds is None:
        return -torch.expm1(-softplus(logit).sum(dim=2))
    shift = torch.zeros_like(score) if death_score is None else death_score
    death_logit = shift[:, :, None] + death_log_odds[None, :, :k]  # (n, E, k)
    step = softplus(logit) + softplus(death_logit)  # minus log of the share that stays
    entering = torch.exp(-(torch.cumsum(step, dim=2) - step))  # S_{k-1}
    return (entering * torch.sigmoid(logit) * (1 - torch.sigmoid(death_logit) / 2)).sum(dim=2)
