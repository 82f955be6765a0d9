from .extraction import extract_cohort as extract_cohort
from .identity import Extraction as Extraction
from .importing import import_features as import_features
from .settings import FeaturesSettings as FeaturesSettings
from .store import count_tiles as count_tiles
from .store import read_features as read_features
from .worklist import slides_to_encode as slides_to_encode
