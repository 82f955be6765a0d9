"""How the tiles of a patient become one image score. An additive aggregator is a rule for a_t in Σ_t a_t (w · h_t - r), so
each tile has an exact part in the score; one that is not (`ADDITIVE` is False) makes a vector m of all tiles together,
and the score is w · m - r.

A rule is a file here with `ADDITIVE`, `AXES` (lengths of parameter axes of its own, and what they count), `sizes` (its
parameters by name, leading axis the member), `start` (their first values) and `weigh` (a_t) or `pool` (m). It must
give 0 on padding and must not depend on the order of the tiles. Where a fusion wants a vector of an additive rule, it is
Σ_t a_t h_t, unless the rule has its own `represent`.
"""

from __future__ import annotations

from types import ModuleType

from sarcnet.model.aggregators import abmil, chowder, mean, transmil

AGGREGATORS: dict[str, ModuleType] = {"mean": mean, "abmil": abmil, "chowder": chowder, "transmil": transmil}
