from .alternatives import delong_table as delong_table
from .alternatives import weightings as weightings
from .censoring import censoring_table as censoring_table
from .instability import instability_table as instability_table
