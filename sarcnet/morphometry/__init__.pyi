from .geometry import tile_geometry as tile_geometry
from .measure import MEASURES as MEASURES
from .measure import count_status as count_status
from .measure import measure_tile as measure_tile
from .measure import measure_tiles as measure_tiles
from .measure import slide_colours as slide_colours
