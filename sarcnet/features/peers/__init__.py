"""Scripts that measure one tool each, run by `sarcnet.features.bench` with the Python of that tool's own environment."""
