"""Discrete-time hazard: the loss that splits exactly over hospitals, and the risk at a horizon.

Time is cut at fixed edges e_1 < e_2 < ... < e_K (months; e_0 = 0). A patient with score η meets in interval k =
(e_{k-1}, e_k] the hazard h_k = 1 / (1 + exp(-(α_k + η))), so a higher score is always a higher risk. The negative
log-likelihood of a patient is

    Σ_k  r_k · log(1 + exp(α_k + η)) - m_k · (α_k + η),

r_k = 1 while the patient is at risk in interval k, m_k = 1 if metastasis falls into it. It is a sum over patients:
summed over hospitals it is the pooled loss, which Cox's partial likelihood is not (Andreux et al., arXiv 2006.08997).
A patient censored inside an interval counts as having survived it when at least half of it was observed (Gensheimer &
Narasimhan, PeerJ 2019). Death without metastasis is censored here: the risk is that of metastasis were there no other
death. Beyond the last edge everybody is censored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import softplus

from sarcnet.compendium.faults import Faults

METASTASIS = 1


@dataclass(frozen=True)
class Intervals:
    """Outcome of n patients on K intervals: at_risk (n, K) and event (n, K), both float32 of 0 and 1."""

    at_risk: np.ndarray
    event: np.ndarray


@dataclass(frozen=True)
class HazardCounts:
    """Metastases and patients at risk by interval, (E, K) each, over each member's training patients.

    They add over hospitals.
    """

    events: np.ndarray
    at_risk: np.ndarray

    def __add__(self, other: HazardCounts) -> HazardCounts:
        return HazardCounts(self.events + other.events, self.at_risk + other.at_risk)

    @property
    def log_odds(self) -> np.ndarray:
        """(E, K).

        Log odds of the hazard with half an event added on each side, finite even where nothing happened.
        """
        return np.log(self.events + 0.5) - np.log(self.at_risk - self.events + 0.5)


def check_edges(edges_months: Sequence[float], *, horizon_months: float) -> None:
    """Edges must rise from above 0 and contain the horizon; raises SarcnetError with each reason."""
    edges = np.asarray(edges_months, dtype=float)
    faults = Faults()
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

    event: 0 censored, 1 metastasis, 2 death without metastasis (censored here).
    """
    upper = np.asarray(edges_months, dtype=float)  # (K,)
    lower = np.concatenate([[0.0], upper[:-1]])
    t = np.asarray(months, dtype=float)[:, None]  # (n, 1)
    known = np.isfinite(t) & np.isfinite(np.asarray(event, dtype=float)[:, None])
    metastasis = known & (np.asarray(event, dtype=float)[:, None] == METASTASIS)
    inside = (t <= upper) & ((t > lower) | ((lower == 0) & (t <= 0)))  # (n, K): the interval of t
    happened = metastasis & inside
    survived = known & np.where(metastasis, upper < t, (lower + upper) / 2 <= t)
    return Intervals((survived | happened).astype(np.float32), happened.astype(np.float32))


def hazard_table(outcome: Intervals, *, edges_months: Sequence[float]) -> pd.DataFrame:
    """What the data say interval by interval: from_months, to_months, at_risk, metastases, hazard (their ratio)."""
    at_risk, events = outcome.at_risk.sum(axis=0), outcome.event.sum(axis=0)
    lower = [0.0, *list(edges_months)[:-1]]
    return pd.DataFrame(
        {
            "from_months": lower,
            "to_months": list(edges_months),
            "at_risk": at_risk.astype(int),
            "metastases": events.astype(int),
            "hazard": np.divide(events, at_risk, out=np.full(len(lower), np.nan), where=at_risk > 0),
        }
    )


def hazard_counts(outcome: Intervals, weights: np.ndarray) -> HazardCounts:
    """Counts for each member. weights: (n, E), 1 for a training patient of the member."""
    w = weights.astype(np.float64).T  # (E, n)
    return HazardCounts(w @ outcome.event.astype(np.float64), w @ outcome.at_risk.astype(np.float64))


def negative_log_likelihood(score: Tensor, *, log_odds: Tensor, at_risk: Tensor, event: Tensor) -> Tensor:
    """(B, E): loss of each patient for each member. score η (B, E); log_odds α (E, K); at_risk, event (B, K)."""
    logit = score[:, :, None] + log_odds[None]  # (B, E, K)
    return (at_risk[:, None, :] * softplus(logit) - event[:, None, :] * logit).sum(dim=2)


def risk(score: Tensor, *, log_odds: Tensor, edges_months: Sequence[float], horizon_months: float) -> Tensor:
    """(n, E): probability of metastasis by the horizon, 1 - Π_{e_k <= horizon} (1 - h_k). score (n, E).

    log_odds (E, K).
    """
    k = int(np.sum(np.asarray(edges_months) <= horizon_months + 1e-9))
    logit = score[:, :, None] + log_odds[None, :, :k]  # (n, E, k)
    return -torch.expm1(-softplus(logit).sum(dim=2))
