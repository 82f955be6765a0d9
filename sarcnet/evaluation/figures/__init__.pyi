from .comparisons import draw_forest as draw_forest
from .comparisons import draw_subgroups as draw_subgroups
from .risk import draw_calibration as draw_calibration
from .risk import draw_decision as draw_decision
from .risk import draw_survival as draw_survival
