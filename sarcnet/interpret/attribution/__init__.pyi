from .nomogram import nomogram_of as nomogram_of
from .response import points_per_log_odds as points_per_log_odds
from .response import respond as respond
from .sanity import map_similarity as map_similarity
from .shapley import compare_with_shapley as compare_with_shapley
