"""The multimodal network, E members side by side in one stack of tensors.

For one member, a patient with tiles x_1..x_T (features of a frozen encoder) and clinical values c:

    h_t = relu(W x̂_t / √d + b)                                     x̂ standardised on the member's training patients
    s_img = Σ_t a_t (w · h_t - r)         a_t: by an aggregator (sarcnet.model.aggregators), gated attention by default
                                          r: the average training patient's image score (0 until centred)
    s_cli = v · ĉ                         ĉ standardised; missing → 0
    η = s_img + s_cli
    δ = u · ĉ                             score of death without metastasis (sarcnet.model.hazard), where it competes

So it is by default, and then there is no hidden fusion: a tile's a_t (w · h_t - r) and a variable's v_j ĉ_j sum exactly
to η (`StackedNetwork.additive`). An aggregator that is not additive (TransMIL) or another fusion (sarcnet.model.fusions)
gives up these exact parts. Members never mix: each has its own slice of every tensor (leading axis), its own
standardisation and its own place in the loss. What is shared is the work: W x for all members is one matrix product,
because the standardisation is folded into the weights, W x̂ = (W / σ) x - (W / σ) μ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import torch_rng
from sarcnet.model.aggregators import AGGREGATORS
from sarcnet.model.fusions import FUSIONS
from sarcnet.model.hazard import HazardCounts
from sarcnet.model.moments import Moments


@dataclass(frozen=True)
class StackShape:
    """Sizes of a stack.

    Members E, tile features d, clinical columns p, embedding h, attention a, hazard intervals K; which branches
    it has, and the name of its aggregator.
    """

    members: int
    feature_dim: int
    clinical_dim: int
    embedding_dim: int
    attention_dim: int
    intervals: int
    image: bool = True
    clinical: bool = True
    aggregator: str = "abmil"
    competing_death: bool = False
    fusion: str = "late"


@dataclass(frozen=True)
class Parts:
    """What a score is made of: tile (B, T, E) a_t (w·h_t - r), attention a_t (B, T, E), clinical (B, E, p) v_j ĉ_j.

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
    image_weight: Tensor
    clinical_weight: Tensor
    log_odds: Tensor
    death_weight: Tensor
    death_log_odds: Tensor
    tile_mean: Tensor
    tile_inverse_std: Tensor
    clinical_mean: Tensor
    clinical_inverse_std: Tensor
    image_centre: Tensor

    def __init__(self, shape: StackShape) -> None:
        super().__init__()
        self.shape = shape
        E, d, p, h = shape.members, shape.feature_dim, shape.clinical_dim, shape.embedding_dim
        own = self._aggregator.sizes(members=E, embedding_dim=h, attention_dim=shape.attention_dim)
        late = shape.fusion == "late"
        reads_tiles = {"image_weight": (E, h)} if late or shape.aggregator == "chowder" else {}
        image = {"tile_weight": (E, h, d), "tile_bias": (E, h), **own, **reads_tiles}
        self.aggregator_names = tuple(own) if shape.image else ()
        fusion = (
            {}
            if late
            else self._fusion.sizes(
                members=E,
                image_dim=self._representation_dim if shape.image else 0,
                clinical_dim=p if shape.clinical else 0,
                hidden_dim=shape.attention_dim,
            )
        )
        self.fusion_names = tuple(fusion)
        sizes = {
            **(image if shape.image else {}),
            **({"clinical_weight": (E, p)} if shape.clinical and late else {}),
            **fusion,
            "log_odds": (E, shape.intervals),
            **({"death_weight": (E, p)} if shape.competing_death and shape.clinical else {}),
            **({"death_log_odds": (E, shape.intervals)} if shape.competing_death else {}),
        }
        for name, size in sizes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(size)))
        self.register_buffer("tile_mean", torch.zeros(E, d))
        self.register_buffer("tile_inverse_std", torch.ones(E, d))
        self.register_buffer("clinical_mean", torch.zeros(E, p))
        self.register_buffer("clinical_inverse_std", torch.ones(E, p))
        self.register_buffer("image_centre", torch.zeros(E))

    @property
    def _aggregator(self) -> ModuleType:
        return AGGREGATORS[self.shape.aggregator]

    @property
    def _fusion(self) -> ModuleType:
        return FUSIONS[self.shape.fusion]

    @property
    def _representation_dim(self) -> int:
        own = getattr(self._aggregator, "representation_dim", None)
        return int(own(self.shape.embedding_dim)) if own else self.shape.embedding_dim

    @property
    def additive(self) -> bool:
        """Whether the score is a sum of exact parts, one for each tile and each clinical column (`parts`)."""
        return bool(self._fusion.ADDITIVE and (self._aggregator.ADDITIVE or not self.shape.image))

    def initialise(self, seed: int, *, names: Sequence[Sequence[str | int]]) -> None:
        """Draw each member's weights from its own named generator, so a member starts the same alone and in any
        stack.

        names: E names, for instance ("member", repeat, fold). The last weights of the image and of the attention
        start at 0: every patient starts at the training hazard, every tile with equal attention.
        """
        with torch.no_grad():
            for e, name in enumerate(names):
                generator = torch_rng(seed, *name)
                if self.shape.image:
                    self.tile_weight[e] = torch.randn(self.tile_weight.shape[1:], generator=generator)
                    self._start(self._aggregator, self._aggregator_parameters(), e, generator)
                    if self.shape.fusion != "late" and "image_weight" in self._parameters:
                        self.image_weight[e] = torch.randn(self.image_weight.shape[1:], generator=generator)
                self._start(self._fusion, self._fusion_parameters(), e, generator)

    def _start(
        self, rule: ModuleType, parameters: Mapping[str, Tensor], member: int, generator: torch.Generator
    ) -> None:
        for name, parameter in parameters.items():
            parameter[member] = rule.start(name, size=tuple(parameter.shape[1:]), generator=generator)

    def _aggregator_parameters(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.aggregator_names}

    def _fusion_parameters(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.fusion_names}

    def set_statistics(
        self, *, tiles: Moments | None, clinical: Moments, hazard: HazardCounts, death: HazardCounts
    ) -> None:
        """Take standardisation and starting hazard from each member's training patients (or from the sum over
        hospitals)."""
        with torch.no_grad():
            if tiles is not None:
                self.tile_mean.copy_(torch.from_numpy(tiles.mean))
                self.tile_inverse_std.copy_(torch.from_numpy(tiles.inverse_std))
            self.clinical_mean.copy_(torch.from_numpy(clinical.mean))
            self.clinical_inverse_std.copy_(torch.from_numpy(clinical.inverse_std))
            self.log_odds.copy_(torch.from_numpy(hazard.log_odds))
            if self.shape.competing_death:
                self.death_log_odds.copy_(torch.from_numpy(death.log_odds))

    def embed(self, tiles: Tensor) -> Tensor:
        """(B, T, E, h).

        h_t of every member from tiles (B, T, d), as one matrix product of B·T rows and E·h columns.
        """
        E, h, d = self.tile_weight.shape
        weight = self.tile_weight * (self.tile_inverse_std / math.sqrt(d))[:, None, :]  # (E, h, d)
        bias = self.tile_bias - torch.einsum("ehd,ed->eh", weight, self.tile_mean)  # (E, h)
        z = nn.functional.linear(tiles, weight.reshape(E * h, d), bias.reshape(E * h))  # (B, T, E·h)
        return torch.relu(z).view(*tiles.shape[:2], E, h)

    def standardise_clinical(self, clinical: Tensor) -> Tensor:
        """(B, E, p): ĉ; missing (NaN) → 0, the training mean. clinical (B, p)."""
        return torch.nan_to_num((clinical[:, None, :] - self.clinical_mean) * self.clinical_inverse_std)

    def parts(self, tiles: Tensor, mask: Tensor, clinical: Tensor) -> Parts:
        """Split the score into its exact parts. tiles (B, T, d), mask (B, T) bool, clinical (B, p) with NaN.

        Raises SarcnetError when the score is no sum (`additive`).
        """
        if not self.additive:
            raise SarcnetError(
                f"A score by {self.shape.aggregator} with {self.shape.fusion} fusion is no sum of parts: explain it by "
                "integrated gradients, or train with an additive aggregator (mean, abmil, chowder) and late fusion."
            )
        B, T = mask.shape
        tile = attention = torch.zeros(B, T, self.shape.members)
        if self.shape.image and T:
            embedded = self.embed(tiles)  # (B, T, E, h)
            value = self._tile_values(embedded) - self.image_centre
            attention = self._aggregator.weigh(
                self._aggregator_parameters(), embedded=embedded, value=value, mask=mask
            )  # (B, T, E)
            tile = attention * value
        part = torch.zeros(B, self.shape.members, self.shape.clinical_dim)
        if self.shape.clinical:
            part = self.clinical_weight * self.standardise_clinical(clinical)  # (B, E, p)
        return Parts(tile, attention, part)

    def _tile_values(self, embedded: Tensor) -> Tensor:
        """(B, T, E): w · h_t, 0 where nothing reads single tiles."""
        if "image_weight" not in self._parameters:
            return torch.zeros(embedded.shape[:3])
        return torch.einsum("bteh,eh->bte", embedded, self.image_weight)

    def image_vector(self, tiles: Tensor, mask: Tensor) -> Tensor:
        """(B, E, r): m, what the aggregator makes of a patient's tiles; 0 without tiles."""
        if mask.shape[1] == 0:
            return torch.zeros(len(mask), self.shape.members, self._representation_dim)
        embedded, rule, own = self.embed(tiles), self._aggregator, self._aggregator_parameters()
        if not rule.ADDITIVE:
            return rule.pool(own, embedded=embedded, tiles=tiles, mask=mask)
        value = self._tile_values(embedded)
        if hasattr(rule, "represent"):
            return rule.represent(own, embedded=embedded, value=value, mask=mask)
        return torch.einsum("bte,bteh->beh", rule.weigh(own, embedded=embedded, value=value, mask=mask), embedded)

    def image_score(self, tiles: Tensor, mask: Tensor) -> Tensor:
        """(B, E): s_img; 0 without tiles, and 0 for all where the fusion is not late and the image has no score alone."""
        if not self.shape.image or self.shape.fusion != "late":
            return torch.zeros(len(mask), self.shape.members)
        if self.additive:
            nothing = torch.full((len(mask), self.shape.clinical_dim), torch.nan)
            return self.parts(tiles, mask, nothing).tile.sum(dim=1)
        value = torch.einsum("beh,eh->be", self.image_vector(tiles, mask), self.image_weight)
        return (value - self.image_centre) * mask.any(dim=1)[:, None]

    def forward(self, tiles: Tensor, mask: Tensor, clinical: Tensor) -> Tensor:
        """(B, E): score η of every patient under every member."""
        if self.additive:
            return self.parts(tiles, mask, clinical).score
        known = self.standardise_clinical(clinical) if self.shape.clinical else None  # (B, E, p)
        if self.shape.fusion == "late":
            own = torch.zeros(()) if known is None else (self.clinical_weight * known).sum(dim=2)
            return self._fusion.combine(self.image_score(tiles, mask), own)
        image = self.image_vector(tiles, mask) if self.shape.image else None
        return self._fusion.combine(self._fusion_parameters(), image=image, has=mask.any(dim=1), clinical=known)

    def death_score(self, clinical: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """(B, E): δ of every patient under every member; 0 without a clinical branch. clinical (B, p).

        weight: (E, p) in place of the stack's own.
        """
        if not (self.shape.competing_death and self.shape.clinical):
            return torch.zeros(len(clinical), self.shape.members)
        own = self.death_weight if weight is None else weight
        return (own * self.standardise_clinical(clinical)).sum(dim=2)

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
