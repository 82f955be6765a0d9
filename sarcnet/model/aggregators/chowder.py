"""The most and the least suspicious tiles: tiles are ranked by their value s_t = w · h_t - r, and only the R highest
and R lowest count, each with a weight of its rank,

    s_img = Σ_{i≤R} p_i s_(i)  +  Σ_{i≤R} q_i s_(T+1-i),        s_(1) ≥ s_(2) ≥ … ≥ s_(T).

Courtiol, Tramel, Sanselme & Wainrib, Classification and disease localization in histopathology using only global
labels (Chowder), arXiv 1802.02212. There a small network follows the 2 R values; here their weighted sum is the score,
so that every tile keeps an exact part in it. In a bag of fewer than R tiles the last one stands in for the missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

ADDITIVE = True
EXTREMES = 5  # R
AXES = {EXTREMES: "rank", 2 * EXTREMES: "extreme tile"}


def sizes(*, members: int, embedding_dim: int, attention_dim: int) -> dict[str, tuple[int, ...]]:
    """p and q of every member."""
    return {"rank_top": (members, EXTREMES), "rank_bottom": (members, EXTREMES)}


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """First values of one member's parameter: all ranks alike."""
    return torch.full(size, 1 / (2 * EXTREMES))


def weigh(parameters: Mapping[str, Tensor], *, embedded: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(B, T, E): weight of each tile by its rank; 0 on padding. value (B, T, E), mask (B, T) True on tiles."""
    weights = torch.zeros_like(value)
    for name, chosen in _extremes(value, mask).items():
        weights = weights.scatter_add(1, chosen, parameters[name].T[None].expand_as(chosen).contiguous())
    return weights * mask[:, :, None]


def represent(parameters: Mapping[str, Tensor], *, embedded: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(B, E, 2 R): the extreme values, each times its rank's weight, for a fusion that wants a vector; 0 without tiles."""
    found = [
        value.gather(1, chosen) * parameters[name].T[None] for name, chosen in _extremes(value, mask).items()
    ]  # each (B, R, E)
    return torch.cat(found, dim=1).transpose(1, 2) * mask.any(dim=1)[:, None, None]


def representation_dim(embedding_dim: int) -> int:
    """Length of the vector."""
    return 2 * EXTREMES


def _extremes(value: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Places (B, R, E) of the highest values under "rank_top", of the lowest under "rank_bottom"."""
    count = mask.sum(dim=1)  # (B,)
    rank = torch.arange(EXTREMES)[None, :].minimum((count - 1).clamp(min=0)[:, None])  # (B, R)
    rank = rank[:, :, None].expand(-1, -1, value.shape[2])  # (B, R, E)
    found = {}
    for name, sign in (("rank_top", -1.0), ("rank_bottom", 1.0)):
        order = (sign * value.detach()).masked_fill(~mask[:, :, None], torch.inf).argsort(dim=1, stable=True)
        found[name] = order.gather(1, rank)
    return found
