from .cohort_tiling import TiledCohort as TiledCohort
from .cohort_tiling import slide_files as slide_files
from .cohort_tiling import tabulate as tabulate
from .cohort_tiling import tile_cohort as tile_cohort
from .settings import TilingSettings as TilingSettings
from .tiling import TileRules as TileRules
