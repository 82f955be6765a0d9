"""The multimodal network, E members side by side in one stack of tensors.

For one member, a patient with tiles x_1..x_T (features of a frozen encoder) and clinical values c:

    h_t = relu(W x̂_t / √d + b)                                     x̂ standardised on the member's training patients
    a_t = softmax_t( u · (tanh(V h_t + b_V) ⊙ sigmoid(U h_t + b_U)) )   gated attention (Ilse et al., ICML 2018) s_img
    = Σ_t a_t (w · h_t - r)                                   r: the average training patient's image score (0 until
    centred) s_cli = v · ĉ                                                   ĉ standardised; missing → 0 η = s_img +
    s_cli

There is no hidden fusion: a tile's a_t (w · h_t - r) and a variable's v_j ĉ_j sum exactly to η. Members never mix:
each has its own slice of every tensor (leading axis), its own standardisation and its own place in the loss. What is
shared is the work: W x for all members is one matrix product, because the standardisation is folded into the weights,
W x̂ = (W / σ) x - (W / σ) μ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sarcnet.compendium.faults import SarcnetError
from sarcnet.compendium.seeds import torch_rng
from sarcnet.model.hazard import HazardCounts
from sarcnet.model.moments import Moments


@dataclass(frozen=True)
class StackShape:
    """Sizes of a stack.

    Members E, tile features d, clinical columns p, embedding h, attention a, hazard intervals K; and which branches
    it has.
    """

    members: int
    feature_dim: int
    clinical_dim: int
    embedding_dim: int
    attention_dim: int
    intervals: int
    image: bool = True
    clinical: bool = True


@dataclass(frozen=True)
class Parts:
    """What a score is made of: tile (B, T, E) a_t (w·h_t - r), attention (B, T, E), clinical (B, E, p) v_j ĉ_j.

    Absent branch: zeros.
    """

    tile: Tensor
    attention: Tensor
    clinical: Tensor

    @property
    def score(self) -> Tensor:
        """(B, E): η, the sum of all parts."""
        return self.tile.sum(dim=1) + self.clinical.sum(dim=2)


class StackedNetwork(nn.Module):
    """E independent copies of the network above. Build it with `sarcnet.model.protocol.build_stack`."""

    tile_weight: Tensor
    tile_bias: Tensor
    attention_tanh_weight: Tensor
    attention_tanh_bias: Tensor
    attention_gate_weight: Tensor
    attention_gate_bias: Tensor
    attention_score: Tensor
    image_weight: Tensor
    clinical_weight: Tensor
    log_odds: Tensor
    tile_mean: Tensor
    tile_inverse_std: Tensor
    clinical_mean: Tensor
    clinical_inverse_std: Tensor
    image_centre: Tensor

    def __init__(self, shape: StackShape) -> None:
        super().__init__()
        self.shape = shape
        E, d, p, h, a = shape.members, shape.feature_dim, shape.clinical_dim, shape.embedding_dim, shape.attention_dim
        sizes = {
            "tile_weight": (E, h, d),
            "tile_bias": (E, h),
            "attention_tanh_weight": (E, h, a),
            "attention_tanh_bias": (E, a),
            "attention_gate_weight": (E, h, a),
            "attention_gate_bias": (E, a),
            "attention_score": (E, a),
            "image_weight": (E, h),
            "clinical_weight": (E, p),
            "log_odds": (E, shape.intervals),
        }
        used = [k for k in sizes if shape.image or not k.startswith(("tile", "attention", "image"))]
        used = [k for k in used if shape.clinical or not k.startswith("clinical")]
        for name in used:
            self.register_parameter(name, nn.Parameter(torch.zeros(sizes[name])))
        self.register_buffer("tile_mean", torch.zeros(E, d))
        self.register_buffer("tile_inverse_std", torch.ones(E, d))
        self.register_buffer("clinical_mean", torch.zeros(E, p))
        self.register_buffer("clinical_inverse_std", torch.ones(E, p))
        self.register_buffer("image_centre", torch.zeros(E))

    def initialise(self, seed: int, *, names: Sequence[Sequence[str | int]]) -> None:
        """Draw each member's weights from its own named generator, so a member starts the same alone and in any
        stack.

        names: E names, for instance ("member", repeat, fold). The last weights of the image and of the attention
        start at 0: every patient starts at the training hazard, every tile with equal attention.
        """
        if not self.shape.image:
            return
        with torch.no_grad():
            for e, name in enumerate(names):
                generator = torch_rng(seed, *name)
                for weight in (self.tile_weight, self.attention_tanh_weight, self.attention_gate_weight):
                    fan = 1.0 if weight is self.tile_weight else math.sqrt(self.shape.embedding_dim)
                    weight[e] = torch.randn(weight.shape[1:], generator=generator) / fan

    def set_statistics(self, *, tiles: Moments | None, clinical: Moments, hazard: HazardCounts) -> None:
        """Take standardisation and starting hazard from each member's training patients (or from the sum over
        hospitals)."""
        with torch.no_grad():
            if tiles is not None:
                self.tile_mean.copy_(torch.from_numpy(tiles.mean))
                self.tile_inverse_std.copy_(torch.from_numpy(tiles.inverse_std))
            self.clinical_mean.copy_(torch.from_numpy(clinical.mean))
            self.clinical_inverse_std.copy_(torch.from_numpy(clinical.inverse_std))
            self.log_odds.copy_(torch.from_numpy(hazard.log_odds))

    def embed(self, tiles: Tensor) -> Tensor:
        """(B, T, E, h).

        h_t of every member from tiles (B, T, d), as one matrix product of B·T rows and E·h columns.
        """
        E, h, d = self.tile_weight.shape
        weight = self.tile_weight * (self.tile_inverse_std / math.sqrt(d))[:, None, :]  # (E, h, d)
        bias = self.tile_bias - torch.einsum("ehd,ed->eh", weight, self.tile_mean)  # (E, h)
        z = nn.functional.linear(tiles, weight.reshape(E * h, d), bias.reshape(E * h))  # (B, T, E·h)
        return torch.relu(z).view(*tiles.shape[:2], E, h)

    def attend(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E): attention, summing to 1 over a patient's tiles; 0 on padding and for an empty bag.

        Mask (B, T) True on tiles.
        """
        up = torch.einsum("bteh,eha->btea", embedded, self.attention_tanh_weight) + self.attention_tanh_bias
        gate = torch.einsum("bteh,eha->btea", embedded, self.attention_gate_weight) + self.attention_gate_bias
        logit = torch.einsum("btea,ea->bte", torch.tanh(up) * torch.sigmoid(gate), self.attention_score)
        logit = logit.masked_fill(~mask[:, :, None], torch.finfo(logit.dtype).min)
        return torch.softmax(logit, dim=1) * mask[:, :, None]

    def standardise_clinical(self, clinical: Tensor) -> Tensor:
        """(B, E, p): ĉ; missing (NaN) → 0, the training mean. clinical (B, p)."""
        return torch.nan_to_num((clinical[:, None, :] - self.clinical_mean) * self.clinical_inverse_std)

    def parts(self, tiles: Tensor, mask: Tensor, clinical: Tensor) -> Parts:
        """Split the score into its exact parts. tiles (B, T, d), mask (B, T) bool, clinical (B, p) with NaN."""
        B, T = mask.shape
        tile = attention = torch.zeros(B, T, self.shape.members)
        if self.shape.image and T:
            embedded = self.embed(tiles)  # (B, T, E, h)
            attention = self.attend(embedded, mask)  # (B, T, E)
            value = torch.einsum("bteh,eh->bte", embedded, self.image_weight) - self.image_centre
            tile = attention * value
        part = torch.zeros(B, self.shape.members, self.shape.clinical_dim)
        if self.shape.clinical:
            part = self.clinical_weight * self.standardise_clinical(clinical)  # (B, E, p)
        return Parts(tile, attention, part)

    def forward(self, tiles: Tensor, mask: Tensor, clinical: Tensor) -> Tensor:
        """(B, E): score η of every patient under every member."""
        return self.parts(tiles, mask, clinical).score

    def centre_image_score(self, *, total: np.ndarray, count: np.ndarray) -> None:
        """Move the average training image score from the tiles into α, so a positive contribution means "above the
        average patient".

        total, count: (E,) sum of s_img over training patients with tiles, and their number (both add over hospitals).
        Risks of patients with tiles stay as they were; a patient without a slide becomes the average patient.
        """
        with torch.no_grad():
            mean = torch.from_numpy(np.asarray(total) / np.maximum(np.asarray(count), 1.0)).float()  # (E,)
            self.image_centre += mean
            self.log_odds += mean[:, None]

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """Trainable parameters by name, each (E, ...) float32: copies, in a fixed order."""
        return {name: p.detach().numpy().copy() for name, p in self.named_parameters()}

    def load_parameter_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the trainable parameters; raises SarcnetError when names or shapes are not those of this stack."""
        own = dict(self.named_parameters())
        wrong = sorted(set(own) ^ set(arrays)) or [k for k in own if own[k].shape != tuple(arrays[k].shape)]
        if wrong:
            raise SarcnetError(f"These arrays do not fit the stack ({asdict(self.shape)}): {', '.join(wrong)} differ.")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(np.array(arrays[name], dtype=np.float32)))
