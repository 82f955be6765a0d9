"""Painting stays as cheap as it was measured to be, as a ratio to a yardstick of the same machine."""

from __future__ import annotations

from studies.benchmarks.rendering import measure, scaling


def test_a_slide_costs_a_few_yardsticks():
    """Measured 2.7 on a shared machine; twice that would mean that something became slow."""
    table = measure(repeats=3).set_index("step")
    assert table.loc["slide: paint + encode", "ratio"] < 6
    parts = table.loc[["paint", "encode as SVS"], "seconds"].sum()
    assert abs(table.loc["slide: paint + encode", "seconds"] - parts) < 0.01


def test_scaling_is_the_ratio_of_rates():
    """Whether it is 1.8 depends on who else uses the cores, so a test cannot say; the measurement must be sound."""
    table = scaling(slides=1)
    assert list(table["processes"]) == [1, 2]
    one, two = table["slides_per_s"]
    assert abs(table["times"].iloc[1] - two / one) < 0.03
    assert one > 0.2
