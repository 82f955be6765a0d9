"""Gated attention: a_t = softmax_t u · (tanh(V h_t + b_V) ⊙ sigmoid(U h_t + b_U)).

Ilse, Tomczak & Welling, Attention-based deep multiple instance learning, ICML 2018 (arXiv 1802.04712), equation 9.
u starts at 0: at first every tile counts alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

ADDITIVE = True
AXES: dict[int, str] = {}


def sizes(*, members: int, embedding_dim: int, attention_dim: int) -> dict[str, tuple[int, ...]]:
    """V, b_V, U, b_U and u of every member."""
    return {
        "attention_tanh_weight": (members, embedding_dim, attention_dim),
        "attention_tanh_bias": (members, attention_dim),
        "attention_gate_weight": (members, embedding_dim, attention_dim),
        "attention_gate_bias": (members, attention_dim),
        "attention_score": (members, attention_dim),
    }


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """First values of one member's parameter: V and U random, the rest 0."""
    if name in ("attention_tanh_weight", "attention_gate_weight"):
        return torch.randn(size, generator=generator) / math.sqrt(size[0])
    return torch.zeros(size)


def weigh(parameters: Mapping[str, Tensor], *, embedded: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(B, T, E): attention, summing to 1 over a patient's tiles; 0 on padding and for an empty bag.

    embedded (B, T, E, h), value (B, T, E; not used), mask (B, T) True on tiles.
    """
    up = torch.einsum("bteh,eha->btea", embedded, parameters["attention_tanh_weight"])
    gate = torch.einsum("bteh,eha->btea", embedded, parameters["attention_gate_weight"])
    gated = torch.tanh(up + parameters["attention_tanh_bias"]) * torch.sigmoid(gate + parameters["attention_gate_bias"])
    logit = torch.einsum("btea,ea->bte", gated, parameters["attention_score"])
    logit = logit.masked_fill(~mask[:, :, None], torch.finfo(logit.dtype).min)
    return torch.softmax(logit, dim=1) * mask[:, :, None]
