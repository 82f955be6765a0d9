from .attribution.contributions import PRODUCERS as PRODUCERS
from .attribution.contributions import explain as explain
from .attribution.tiles import extreme_tiles as extreme_tiles
from .figures.tiles import draw_tiles as draw_tiles
from .settings import InterpretabilitySettings as InterpretabilitySettings
