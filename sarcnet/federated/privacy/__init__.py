"""Differential privacy, secure aggregation, small cells, and attacks that test them."""
