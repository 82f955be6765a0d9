"""Timings and memory, printed as ratios."""
