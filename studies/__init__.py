"""Studies of the methods themselves: what was done once to believe the rest. Run from a clone."""
