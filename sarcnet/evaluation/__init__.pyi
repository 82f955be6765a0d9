from .failure_log import FailureLog as FailureLog
from .metrics.resampling import Resampling as Resampling
from .model_comparison import compare_models as compare_models
from .model_comparison import merge as merge
from .predictions import EvaluationSet as EvaluationSet
from .predictions import evaluation_set as evaluation_set
from .settings import EvaluationSettings as EvaluationSettings
