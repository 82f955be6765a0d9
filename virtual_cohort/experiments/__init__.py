"""Experiments that need the truth of the simulation."""
