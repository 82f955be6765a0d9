from .attribution.contributions import PRODUCERS as PRODUCERS
from .attribution.contributions import explain as explain
from .export.heatmap import patient_heatmaps as patient_heatmaps
from .figures.tiles import draw_tiles as draw_tiles
from .settings import InterpretabilitySettings as InterpretabilitySettings
