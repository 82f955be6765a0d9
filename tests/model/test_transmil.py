"""TransMIL: attention held to plain loops, the square, the bound on the bag; that nothing hangs on order or company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sarcnet.model.aggregators import transmil

H, E = 6, 2


def parameters(*, members: int = E, seed: int = 0) -> dict[str, Tensor]:
    """Random values everywhere."""
    generator = torch.Generator().manual_seed(seed)
    sizes = transmil.sizes(members=members, embedding_dim=H, attention_dim=4)
    return {name: 0.5 * torch.randn(size, generator=generator).double() for name, size in sizes.items()}


def bag(*sizes: int) -> tuple[Tensor, Tensor, Tensor]:
    """embedded (B, T, E, h), tiles (B, T, 5), mask (B, T)."""
    generator = torch.Generator().manual_seed(9)
    longest = max(sizes)
    mask = torch.arange(longest)[None] < torch.tensor(sizes)[:, None]
    shape = (len(sizes), longest)
    embedded = torch.randn(*shape, E, H, generator=generator).double()
    return embedded, torch.randn(*shape, 5, generator=generator), mask


def plain(q: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """The equations of the module with exact attention, one member and one bag in its order: tokens (n, h) → (h,)."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return scaled * q[f"transmil_{name}_gain"] + q[f"transmil_{name}_bias"]

    def attend(x: np.ndarray, layer: str) -> np.ndarray:
        query, key, value = (x @ q[f"transmil_{layer}_{role}"] for role in ("query", "key", "value"))
        weight = np.exp(query @ key.T / np.sqrt(H))
        return weight / weight.sum(axis=1, keepdims=True) @ value @ q[f"transmil_{layer}_out"]

    side = int(np.ceil(np.sqrt(len(tokens))))
    tokens = np.concatenate([tokens, tokens[: side**2 - len(tokens)]])
    x = np.concatenate([q["transmil_token_bias"][None], tokens])
    x = x + attend(norm(x, "first"), "first")
    square, moved = x[1:].reshape(side, side, H), x[1:].reshape(side, side, H).copy()
    for row in range(side):
        for column in range(side):
            moved[row, column] += q["transmil_kernel_bias"]
            for k in transmil.KERNELS:
                kernel = q[f"transmil_kernel_{k}"].reshape(H, k, k)
                for i in range(k):
                    for j in range(k):
                        r, c = row + i - k // 2, column + j - k // 2
                        if 0 <= r < side and 0 <= c < side:
                            moved[row, column] += kernel[:, i, j] * square[r, c]
    x = np.concatenate([x[:1], moved.reshape(-1, H)])
    x = x + attend(norm(x, "second"), "second")
    return norm(x[:1], "last")[0]


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_patients_vector_is_that_of_plain_loops_while_attention_is_exact(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transmil, "LANDMARKS", 99)
    q, (embedded, tiles, mask) = parameters(), bag(size)
    found = transmil.pool(q, embedded=embedded, tiles=tiles, mask=mask)
    order = transmil.canonical_key(tiles)[0].argsort()
    for e in range(E):
        own = {name: value[e].numpy() for name, value in q.items()}
        np.testing.assert_allclose(found[0, e], plain(own, embedded[0, order, e].numpy()), atol=1e-6)


def test_nystrom_is_exact_attention_with_as_many_landmarks_as_tokens_and_near_it_with_fewer() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key, value = (0.5 * torch.randn(3, E, 25, H, generator=generator).double() for _ in range(3))
    exact = torch.softmax(query @ key.mT, dim=-1) @ value
    full = transmil.nystrom(query, key, value, landmarks=25)
    half = transmil.nystrom(query, key, value, landmarks=12)
    alone = value.mean(dim=2, keepdim=True)
    assert (full - exact).abs().mean() < 0.25 * (alone - exact).abs().mean()
    assert (half - exact).abs().mean() < (alone - exact).abs().mean()


def test_pseudo_inverse_is_numpys() -> None:
    matrix = torch.softmax(2 * torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(1)).double(), dim=-1)
    found = transmil.pseudo_inverse(matrix, steps=30)
    np.testing.assert_allclose(found, np.linalg.pinv(matrix.numpy()), rtol=1e-6, atol=1e-8)


def test_neither_order_nor_padding_nor_company_matters_though_the_square_has_an_order() -> None:
    q, (embedded, tiles, mask) = parameters(), bag(23, 10, 30, 10, 0)
    together = transmil.pool(q, embedded=embedded, tiles=tiles, mask=mask)
    assert not together[4].any()
    for i, size in enumerate((23, 10, 30, 10)):
        turned = torch.randperm(size, generator=torch.Generator().manual_seed(i))
        rows = (embedded[i : i + 1, turned], tiles[i : i + 1, turned])
        alone = transmil.pool(q, embedded=rows[0], tiles=rows[1], mask=torch.ones(1, size, dtype=torch.bool))
        torch.testing.assert_close(alone[0], together[i], atol=1e-9, rtol=1e-7)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(5))
    moved = transmil.encode(q, embedded[:1, :23].transpose(1, 2)[:, :, order])
    assert (
        moved - transmil.encode(q, embedded[:1, :23].transpose(1, 2))
    ).abs().max() > 1e-3  # without the order it would


def test_a_large_bag_is_bounded_by_a_draw_that_does_not_hang_on_the_order_of_rows() -> None:
    q, (embedded, tiles, mask) = parameters(), bag(200)
    places = transmil.drawn(200)
    assert len(places) == transmil.TILES_MAX == len(set(places.tolist()))
    assert places.max() < 200
    order = transmil.canonical_key(tiles)[0].argsort()
    shown = embedded[:, order[places]].transpose(1, 2)
    found = transmil.pool(q, embedded=embedded, tiles=tiles, mask=mask)
    torch.testing.assert_close(found, transmil.encode(q, shown))
    back = torch.arange(199, -1, -1)
    torch.testing.assert_close(transmil.pool(q, embedded=embedded[:, back], tiles=tiles[:, back], mask=mask), found)


def test_members_do_not_mix() -> None:
    q, (embedded, tiles, mask) = parameters(), bag(12, 4)
    both = transmil.pool(q, embedded=embedded, tiles=tiles, mask=mask)
    second = {name: value[1:] for name, value in q.items()}
    alone = transmil.pool(second, embedded=embedded[:, :, 1:], tiles=tiles, mask=mask)
    torch.testing.assert_close(both[:, 1:], alone)
