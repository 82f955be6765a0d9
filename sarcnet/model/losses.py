"""What training makes small: the loss of each patient under each member of a stack.

Hazards (`sarcnet.model.hazard`) give every patient a loss of his or her own. Cox's partial likelihood (Cox, JRSS B 1972;
ties after Breslow) does not: the loss of a patient i with metastasis at t_i is

    log Σ_{j: t_j >= t_i} exp(η_j) - η_i,

a comparison with all who were still at risk. A hospital sees its own risk sets only; the sum of the hospitals' losses is
that of a model with a baseline for each hospital, another model, and never compares patients of two hospitals
(Andreux et al., arXiv 2006.08997). So it is here for comparison, where all patients lie in one place, and refused to a
federation. In training the risk set is that of the batch, which estimates the same gradient with fewer comparisons. It
says nothing on the baseline; `fit_baseline` finds it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sarcnet.cohort.outcome import METASTASIS
from sarcnet.model.hazard import Intervals, negative_log_likelihood
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Batch


def patient_loss(
    score: Tensor, *, batch: Batch, stack: StackedNetwork, values: Mapping[str, Tensor] | None = None
) -> Tensor:
    """(B, E): negative log-likelihood of what was seen of each patient, metastasis plus, where it competes, death.

    score η (B, E) of the batch. values: the stack's parameters by name when they are not those it holds (for gradients
    of single patients). A plain sum over patients, so it splits over hospitals.
    """
    held = dict(stack.named_parameters()) if values is None else values
    loss = negative_log_likelihood(
        score, log_odds=held["log_odds"], at_risk=batch["at_risk"], event=batch["event"]
    )  # (B, E)
    if not stack.shape.competing_death:
        return loss
    death_score = stack.death_score(batch["clinical"], weight=held.get("death_weight"))
    return loss + negative_log_likelihood(
        death_score, log_odds=held["death_log_odds"], at_risk=batch["death_at_risk"], event=batch["death"]
    )


def cox_loss(score: Tensor, *, months: Tensor, cause: Tensor, weight: Tensor) -> Tensor:
    """(B, E): Cox's partial log-likelihood, negative, term by term; 0 for patients without metastasis.

    score η, weight (B, E): only patients of weight 1 stand in the risk sets of others, so a member never learns from
    those it leaves out, though their own terms can be watched. months, cause (B,); death censors.
    """
    later = months[None, :] >= months[:, None]  # (B, B): j is at risk when i has the metastasis
    itself = torch.eye(len(months), dtype=torch.bool)
    in_set = later[:, :, None] & ((weight[None] > 0) | itself[:, :, None])  # (B, B, E)
    reached = score[None].masked_fill(~in_set, -torch.inf)
    metastasis = (cause == METASTASIS) & torch.isfinite(months)
    terms = torch.where(in_set.any(dim=1), torch.logsumexp(reached, dim=1), score) - score
    return terms * metastasis[:, None]


def fit_baseline(score: np.ndarray, outcome: Intervals, *, weights: np.ndarray, steps: int = 50) -> np.ndarray:
    """(E, K): log odds α of the hazards, by maximum likelihood with the scores held fixed, so that a model trained by
    Cox's loss predicts risks.

    score, weights (n, E). Newton's method; half an event is added on each side at the average score, as in
    `HazardCounts.log_odds`, so that intervals without an event stay finite.
    """
    eta = score.astype(np.float64)[:, :, None]  # (n, E, 1)
    w = weights.astype(np.float64)[:, :, None]
    r, m = (np.asarray(a, dtype=np.float64)[:, None, :] for a in (outcome.at_risk, outcome.event))  # (n, 1, K)
    average = (w * eta).sum(axis=0) / w.sum(axis=0)  # (E, 1)
    alpha = np.log((w * m).sum(axis=0) + 0.5) - np.log((w * (r - m)).sum(axis=0) + 0.5) - average
    for _ in range(steps):
        h, at_average = 1 / (1 + np.exp(-(alpha + eta))), 1 / (1 + np.exp(-(alpha + average)))
        slope = (w * (m - r * h)).sum(axis=0) + 0.5 - at_average
        curvature = (w * r * h * (1 - h)).sum(axis=0) + at_average * (1 - at_average)
        alpha = alpha + np.clip(slope / curvature, -1, 1)
    return alpha
