"""Gated fusion: a gate says, number by number, how far to believe the image and how far the clinic,

    h_i = tanh(A m + a),   h_c = tanh(C ĉ + c),   z = σ(Z_i m + Z_c ĉ),   η = u · (z ⊙ h_i + (1 - z) ⊙ h_c).

Arevalo, Solorio, Montes-y-Gómez & González, Gated multimodal units for information fusion, ICLR workshop 2017 (arXiv
1702.01992), equation for two modalities. Products are scaled by one over the root of their length. A patient without a
slide has z = 0: the clinic is believed alone. u starts at 0, the gates at about a half.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sarcnet.model.fusions.concatenation import project

ADDITIVE = False


def sizes(*, members: int, image_dim: int, clinical_dim: int, hidden_dim: int) -> dict[str, tuple[int, ...]]:
    """A, a, C, c, Z_i, Z_c and u; only those of the branch that is on, and no gate, where the other is off (length 0)."""
    E, f = members, hidden_dim
    image = {"fusion_image_weight": (E, image_dim, f), "fusion_image_bias": (E, f)} if image_dim else {}
    clinical = {"fusion_clinical_weight": (E, clinical_dim, f), "fusion_clinical_bias": (E, f)} if clinical_dim else {}
    gate = {"fusion_image_gate": (E, image_dim, f), "fusion_clinical_gate": (E, clinical_dim, f)}
    return {**image, **clinical, **(gate if image and clinical else {}), "fusion_score": (E, f)}


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """First values of one member's parameter: A, C and the gates random, the rest 0."""
    return torch.randn(size, generator=generator) if len(size) == 2 else torch.zeros(size)


def combine(parameters: Mapping[str, Tensor], *, image: Tensor | None, has: Tensor, clinical: Tensor | None) -> Tensor:
    """(B, E): η. image m (B, E, r), has (B,) True where there is one, clinical ĉ (B, E, p); None: the branch is off."""
    fused = torch.zeros(())
    if image is not None:
        fused = torch.tanh(project(image, parameters["fusion_image_weight"]) + parameters["fusion_image_bias"])
        fused = fused * has[:, None, None]
    if clinical is not None:
        known = project(clinical, parameters["fusion_clinical_weight"]) + parameters["fusion_clinical_bias"]
        share = torch.zeros(())
        if image is not None:
            gate = project(image, parameters["fusion_image_gate"]) + project(
                clinical, parameters["fusion_clinical_gate"]
            )
            share = torch.sigmoid(gate) * has[:, None, None]
        fused = share * fused + (1 - share) * torch.tanh(known)
    return torch.einsum("bef,ef->be", fused, parameters["fusion_score"])
