"""Bags, aggregator, clinical branch, hazard loss, training of all folds together."""
