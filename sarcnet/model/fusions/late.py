"""Late fusion: η = s_img + s_cli = Σ_t a_t (w · h_t - r) + v · ĉ, two scores that are added.

No part of one branch changes what the other says (Baltrušaitis, Ahuja & Morency, Multimodal machine learning, TPAMI
2019, doi 10.1109/TPAMI.2018.2798607). The sum is formed in `sarcnet.model.network`, part by part.
"""

from __future__ import annotations

from torch import Tensor

ADDITIVE = True


def combine(image: Tensor, clinical: Tensor) -> Tensor:
    """(B, E): η from both scores (B, E)."""
    return image + clinical
