from .attribution.contributions import PRODUCERS as PRODUCERS
from .attribution.contributions import explain as explain
from .attribution.tiles import see_tiles as see_tiles
from .export.heatmap import patient_heatmaps as patient_heatmaps
from .settings import InterpretabilitySettings as InterpretabilitySettings
