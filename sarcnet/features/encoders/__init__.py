"""Pretrained networks that turn a tile into a vector, built in or from the Hugging Face Hub.

In comes the name of an encoder; out comes what it is (size and resolution of its tiles, numbers per tile, licence, source)
and a runtime whose `encode` takes a batch of tiles (n, tile_px, tile_px, 3) uint8 RGB and gives (n, dim) float32. No weight
is ever changed.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
