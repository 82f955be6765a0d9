from .by_round import loss_curves as loss_curves
from .by_round import predict_rounds as predict_rounds
from .by_round import score_by as score_by
from .compare import compare_strategies as compare_strategies
from .recalibration import before_and_after as before_and_after
from .recalibration import hospital_of as hospital_of
from .recalibration import recalibrate as recalibrate
from .widget import Rounds as Rounds
