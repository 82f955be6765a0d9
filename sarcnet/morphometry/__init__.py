"""Nuclear morphometry: what a pathologist calls cellularity, atypia, necrosis and stroma, measured on tiles as numbers.

In come tiles (slide, corner in level-0 pixels) and the slide files, or pictures with their µm/px; out go, tile by tile, the
measures of :data:`MEASURES` with their units and how many nuclei they rest on. Stain colours are estimated per slide.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
