from .errors import SarcnetError as SarcnetError
from .figures import PALETTE as PALETTE
from .figures import hospital_colours as hospital_colours
from .params import Settings as Settings
from .paths import resolve as resolve
from .progress import track as track
from .seeds import rng as rng
from .stage import Stage as Stage
