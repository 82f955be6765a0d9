"""Faults between hospitals, staged on real Flower programs."""
