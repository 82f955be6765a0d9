"""Painting stays as cheap as it was measured to be, as a ratio to a yardstick of the same machine."""

from __future__ import annotations

from sarcnet.virtual.bench import measure


def test_a_slide_costs_a_few_yardsticks():
    """Measured 2.7 on a shared machine; twice that would mean that something became slow."""
    table = measure(repeats=3).set_index("step")
    assert table.loc["slide: paint + encode", "ratio"] < 6
    parts = table.loc[["paint", "encode as SVS"], "seconds"].sum()
    assert abs(table.loc["slide: paint + encode", "seconds"] - parts) < 0.01
