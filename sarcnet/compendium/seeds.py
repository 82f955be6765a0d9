"""Random generators with names: all derived from one seed, none depending on the order in which they are asked for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def sequence(seed: int, *names: str | int) -> np.random.SeedSequence:
    """Seed sequence of the generator called `names` under the root `seed`.

    The names are hashed (SHA-256 of their JSON form), so a new name disturbs no other generator, and ("a", "bc") is
    not ("ab", "c").
    """
    digest = hashlib.sha256(json.dumps([int(seed), *names]).encode()).digest()
    return np.random.SeedSequence(int.from_bytes(digest[:16], "little"))


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy generator with a name, for example ``rng(2025, "cohort", "CLB", 17)``.

    Args:
        seed: the root of all random numbers of a run.
        names: what the numbers are for; other names give independent numbers (see :func:`sequence`).

    Returns:
        The same generator for the same seed and names, whatever was drawn before.
    """
    return np.random.default_rng(sequence(seed, *names))


def torch_rng(seed: int, *names: str | int) -> torch.Generator:
    """Torch generator (CPU) of that name."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(int(sequence(seed, *names).generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return generator
