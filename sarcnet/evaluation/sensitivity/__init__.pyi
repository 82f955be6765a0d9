from .alternatives import delong_table as delong_table
from .alternatives import weightings as weightings
from .alternatives import without_image as without_image
from .censoring import censoring_table as censoring_table
from .instability import instability_table as instability_table
