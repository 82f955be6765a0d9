"""Concatenation: η = u · relu(A m / √r + C ĉ / √p + b), one hidden layer over the image vector m and the clinical values ĉ
put end to end; the usual early fusion of learnt features (Baltrušaitis, Ahuja & Morency, TPAMI 2019, doi
10.1109/TPAMI.2018.2798607).

A patient without a slide has m = 0. u starts at 0: every patient starts at the training hazard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

ADDITIVE = False


def sizes(*, members: int, image_dim: int, clinical_dim: int, hidden_dim: int) -> dict[str, tuple[int, ...]]:
    """A, C, b and u; without A or C where its branch is off (length 0)."""
    E, f = members, hidden_dim
    image = {"fusion_image_weight": (E, image_dim, f)} if image_dim else {}
    clinical = {"fusion_clinical_weight": (E, clinical_dim, f)} if clinical_dim else {}
    return {**image, **clinical, "fusion_bias": (E, f), "fusion_score": (E, f)}


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """First values of one member's parameter: A and C random, b and u 0."""
    return torch.randn(size, generator=generator) if name.endswith("weight") else torch.zeros(size)


def combine(parameters: Mapping[str, Tensor], *, image: Tensor | None, has: Tensor, clinical: Tensor | None) -> Tensor:
    """(B, E): η. image m (B, E, r), has (B,) True where there is one, clinical ĉ (B, E, p); None: the branch is off."""
    hidden = parameters["fusion_bias"]
    if image is not None:
        hidden = hidden + project(image, parameters["fusion_image_weight"]) * has[:, None, None]
    if clinical is not None:
        hidden = hidden + project(clinical, parameters["fusion_clinical_weight"])
    hidden = torch.relu(hidden).expand(len(has), -1, -1)
    return torch.einsum("bef,ef->be", hidden, parameters["fusion_score"])


def project(x: Tensor, weight: Tensor) -> Tensor:
    """(B, E, f): x (B, E, r) times each member's weight (E, r, f), scaled by 1 / √r."""
    return torch.einsum("ber,erf->bef", x, weight) / math.sqrt(weight.shape[1])
