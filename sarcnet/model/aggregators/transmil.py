"""Tiles that look at each other: two layers of self-attention with a class token and a convolution between them.

    X_0 = [c; h_1 … h_N]                         c: class token; tiles repeated from the first until N is a square
    X_1 = X_0 + A_1(norm X_0)                    A: softmax(q kᵀ / √h) v W_o, approximated after Nyström
    X_2 = PPEG(X_1)                              the N tiles laid out as a √N × √N square, x + conv_7 + conv_5 + conv_3
    X_3 = X_2 + A_2(norm X_2),  m = norm X_3[c]  the patient's vector, from which the image score w · m - r is read

Shao, Bian, Chen, Wang, Zhang, Ji & Zhang, TransMIL, NeurIPS 2021 (arXiv 2106.00908); attention after Xiong et al.,
Nyströmformer, AAAI 2021 (arXiv 2102.03902): with landmarks q̃, k̃, the means of consecutive tokens,

    softmax(q k̃ᵀ) softmax(q̃ k̃ᵀ)⁺ softmax(q̃ kᵀ) v,        ⁺ by six steps of Razavi's iteration.

Smaller than the original, for small cohorts: one head, as wide as the embedding, no convolution of the values.

PPEG makes the result hang on the order of the tiles, and the published code takes the order of the file. An order that
means nothing must not change a risk, so the tiles are put in a *canonical* order by what they show, the size of a fixed
projection of their features: rows may come in any order, with any padding. Neighbours in the square are then tiles that
look alike, not tiles that lie side by side; where tiles are sampled few lie side by side anyway. The bag is bounded:
of more than TILES_MAX tiles a seeded draw over the canonical order is taken, the same for every bag of that size.

The score is no sum over tiles (ADDITIVE is False): what a tile contributes needs a method such as integrated gradients.
All members of a stack go through together; bags of one size go through together, so there is no padding to mask. This
loop over sizes cannot be traced by torch.func.vmap, so patient-level differential privacy needs another aggregator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, conv2d, pad

from sarcnet.compendium.seeds import rng, torch_rng

ADDITIVE = False
TILES_MAX = 64  # tiles of a patient that are seen at once
LANDMARKS = 8
KERNELS = (7, 5, 3)
#: Axes of the parameters beside embedding and attention: length → what it counts (asked for by the federation's audit).
AXES = {k * k: "place in a kernel" for k in KERNELS}
LAYERS = ("first", "second")
NORMS = (*LAYERS, "last")


def sizes(*, members: int, embedding_dim: int, attention_dim: int) -> dict[str, tuple[int, ...]]:
    """Class token, projections and norms of both layers, kernels of the PPEG."""
    E, h = members, embedding_dim
    square = {f"transmil_{layer}_{role}": (E, h, h) for layer in LAYERS for role in ("query", "key", "value", "out")}
    norms = {f"transmil_{name}_{what}": (E, h) for name in NORMS for what in ("gain", "bias")}
    kernels = {f"transmil_kernel_{k}": (E, h, k * k) for k in KERNELS}
    return {"transmil_token_bias": (E, h), **square, **norms, **kernels, "transmil_kernel_bias": (E, h)}


def start(name: str, *, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """First values of one member's parameter: projections random, gains 1, kernels and biases 0."""
    if len(size) == 2 and "kernel" not in name:
        return torch.randn(size, generator=generator) / math.sqrt(size[0])
    return torch.ones(size) if name.endswith("gain") else torch.zeros(size)


def pool(parameters: Mapping[str, Tensor], *, embedded: Tensor, tiles: Tensor, mask: Tensor) -> Tensor:
    """(B, E, h): m of every patient; 0 for an empty bag. embedded (B, T, E, h), tiles (B, T, d), mask (B, T)."""
    content = canonical_key(tiles).masked_fill(~mask, torch.inf)
    counts = mask.sum(dim=1)
    pooled = embedded.new_zeros(embedded.shape[0], *embedded.shape[2:])
    for size in counts.unique().tolist():
        if size == 0:
            continue
        rows = torch.nonzero(counts == size)[:, 0]
        order = content[rows].argsort(dim=1, stable=True)[:, drawn(size)]  # (b, n)
        own = embedded[rows[:, None], order]  # (b, n, E, h)
        pooled = pooled.index_copy(0, rows, encode(parameters, own.transpose(1, 2)))
    return pooled


def canonical_key(tiles: Tensor) -> Tensor:
    """(B, T) float64: one number for each tile that hangs on its features alone."""
    direction = torch.randn(tiles.shape[2], generator=torch_rng(0, "transmil", "order"), dtype=torch.float64)
    return tiles.detach().double() @ direction


def drawn(size: int) -> Tensor:
    """Places of the canonical order that are shown: all, or a draw of TILES_MAX that hangs on the number of tiles alone."""
    if size <= TILES_MAX:
        return torch.arange(size)
    chosen = rng(0, "transmil", "tiles", size).choice(size, TILES_MAX, replace=False)
    return torch.from_numpy(chosen).sort().values


def encode(parameters: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
    """(b, E, h): m from tiles in order, tokens (b, E, n, h), all bags of n tiles."""
    q = {name.removeprefix("transmil_"): value for name, value in parameters.items()}
    n = tokens.shape[2]
    side = math.ceil(math.sqrt(n))
    tokens = torch.cat([tokens, tokens[:, :, : side * side - n]], dim=2)
    first = q["token_bias"][None, :, None].expand(len(tokens), -1, -1, -1)
    x = torch.cat([first, tokens], dim=2)  # (b, E, 1 + N, h)
    x = x + attend(q, norm(q, x, "first"), "first")
    x = torch.cat([x[:, :, :1], positioned(q, x[:, :, 1:], side)], dim=2)
    x = x + attend(q, norm(q, x, "second"), "second")
    return norm(q, x[:, :, :1], "last")[:, :, 0]


def norm(q: Mapping[str, Tensor], x: Tensor, name: str) -> Tensor:
    """Layer norm over the last axis with each member's own gain and bias. x (b, E, n, h)."""
    centred = x - x.mean(dim=3, keepdim=True)
    scaled = centred * torch.rsqrt(centred.square().mean(dim=3, keepdim=True) + 1e-5)
    return scaled * q[f"{name}_gain"][None, :, None] + q[f"{name}_bias"][None, :, None]


def positioned(q: Mapping[str, Tensor], x: Tensor, side: int) -> Tensor:
    """PPEG: x plus three depthwise convolutions of it on the square; one kernel, as convolution is linear. x (b, E, N, h)."""
    b, E, _, h = x.shape
    largest = KERNELS[0]
    kernel = torch.stack(
        [pad(q[f"kernel_{k}"].reshape(E * h, 1, k, k), [(largest - k) // 2] * 4) for k in KERNELS]
    ).sum(dim=0)
    square = x.transpose(2, 3).reshape(b, E * h, side, side)
    moved = conv2d(square, kernel, q["kernel_bias"].reshape(E * h), padding=largest // 2, groups=E * h)
    return (square + moved).reshape(b, E, h, side * side).transpose(2, 3)


def attend(q: Mapping[str, Tensor], x: Tensor, layer: str) -> Tensor:
    """(b, E, n, h): self-attention of one layer, exact up to LANDMARKS tokens, else Nyström's approximation."""
    query, key, value = (torch.einsum("benh,ehk->benk", x, q[f"{layer}_{role}"]) for role in ("query", "key", "value"))
    query = query / math.sqrt(x.shape[3])
    mixed = nystrom(query, key, value) if x.shape[2] > LANDMARKS else torch.softmax(query @ key.mT, dim=-1) @ value
    return torch.einsum("benk,ekh->benh", mixed, q[f"{layer}_out"])


def nystrom(query: Tensor, key: Tensor, value: Tensor, *, landmarks: int = LANDMARKS) -> Tensor:
    """softmax(query keyᵀ) value, approximated with as many landmarks; all (b, E, n, h)."""
    few_queries, few_keys = (_segment_means(x, landmarks) for x in (query, key))
    left = torch.softmax(query @ few_keys.mT, dim=-1)  # (b, E, n, l)
    middle = torch.softmax(few_queries @ few_keys.mT, dim=-1)  # (b, E, l, l)
    right = torch.softmax(few_queries @ key.mT, dim=-1)  # (b, E, l, n)
    return left @ (pseudo_inverse(middle) @ (right @ value))


def _segment_means(x: Tensor, count: int) -> Tensor:
    flat = x.reshape(-1, *x.shape[2:]).transpose(1, 2)  # (b·E, h, n)
    return adaptive_avg_pool1d(flat, count).transpose(1, 2).reshape(*x.shape[:2], count, x.shape[3])


def pseudo_inverse(matrix: Tensor, *, steps: int = 6) -> Tensor:
    """Razavi's iteration; the first guess is scaled by each matrix's own norms, so that no bag hangs on its company."""
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    rows = matrix.abs().sum(dim=-1).amax(dim=-1)[..., None, None]
    columns = matrix.abs().sum(dim=-2).amax(dim=-1)[..., None, None]
    z = matrix.mT / (rows * columns)
    for _ in range(steps):
        az = matrix @ z
        z = z @ (13 * identity - az @ (15 * identity - az @ (7 * identity - az))) / 4
    return z
