"""Features of tiles: a pretrained network turns each tile into a vector, and each slide becomes one HDF5 file.

In come the slides that could be tiled, with their tiles (`sarcnet.slides`), and an encoder (`sarcnet.features.encoders`);
out come `<slide_id>.h5` with `features` (n, d) and `coords` (n, 2) in pixels of level 0, and one row of a report per slide.
Files of TRIDENT, CLAM and STAMP are taken over after they were held against the slides. Knows nothing of outcomes.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
