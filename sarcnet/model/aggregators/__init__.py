"""How the tiles of a patient become one image score: the score is always Σ_t a_t (w · h_t - r), and an aggregator is a
rule for a_t. So whatever the rule, each tile has an exact part in the score.

A rule is a file here with three functions: `sizes` (its parameters by name, leading axis the member), `start` (their
first values) and `weigh` (a_t). It must give 0 on padding and must not depend on the order of the tiles.
"""

from __future__ import annotations

from types import ModuleType

from sarcnet.model.aggregators import abmil, chowder, mean

AGGREGATORS: dict[str, ModuleType] = {"mean": mean, "abmil": abmil, "chowder": chowder}
