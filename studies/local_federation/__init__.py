"""A federation of real Flower programs on one machine."""
