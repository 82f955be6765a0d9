from .ladder import Ladder as Ladder
from .ladder import ablate as ablate
from .ladder import ladder_of as ladder_of
from .ladder import mean_features as mean_features
