"""Scripts that measure one tool each, run by `studies.benchmarks.slides.run` with the Python of that tool's own environment."""
