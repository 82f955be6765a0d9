from .projection import two_axes as two_axes
from .sample import place_tiles as place_tiles
from .sample import sample_features as sample_features
from .share import centre_share as centre_share
from .share import classify_site as classify_site
