"""Metrics with their slow oracles, comparators, intervals and survival curves."""
