"""Tiling explained in pictures: resolution, the search for tissue, the grid, the same glass at each hospital.

In come the report of the slides, their files and the kept tiles; out come figures with the numbers that they show, ready
for `Stage.figure`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
