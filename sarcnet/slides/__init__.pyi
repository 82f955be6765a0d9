from .cohort_tiling import slide_files as slide_files
from .cohort_tiling import tile_cohort as tile_cohort
from .failures import failed_table as failed_table
from .failures import known_failures as known_failures
from .failures import record_failures as record_failures
from .settings import TilingSettings as TilingSettings
from .tiling import TileRules as TileRules
