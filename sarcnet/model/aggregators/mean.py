"""Every tile counts alike: a_t = 1 / T. The baseline that attention has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

ADDITIVE = True
AXES: dict[int, str] = {}


def sizes(*, members: int, embedding_dim: int, attention_dim: int) -> dict[str, tuple[int, ...]]:
    """No parameters."""
    return {}


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Nothing to start."""
    raise KeyError(name)


def weigh(parameters: Mapping[str, Tensor], *, embedded: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(B, T, E): 1 / T on a patient's T tiles. embedded (B, T, E, h), value (B, T, E), mask (B, T) True on tiles."""
    share = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)  # (B, T)
    return share[:, :, None].expand_as(value)
