from .effects import end_tiles as end_tiles
from .effects import measured_effects as measured_effects
from .effects import shuffled_contributions as shuffled_contributions
from .effects import verdicts as verdicts
from .probe import probe_features as probe_features
