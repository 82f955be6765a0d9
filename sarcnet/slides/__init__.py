"""From slide files to tiles: opening, tissue, grid, quality, reading at exact µm/px, and a report on every slide.

In comes the table of slides with their files and the rules of tiling; out come one row per slide (ok or failed, with
cause and advice) and the kept tiles as x_px, y_px, size_px in pixels of level 0. Knows nothing of patients or models.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
