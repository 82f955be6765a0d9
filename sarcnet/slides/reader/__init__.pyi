from .opening import open_slide as open_slide
from .reading import TileReader as TileReader
from .reading import plan as plan
