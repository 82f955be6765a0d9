from .bags import read_bags as read_bags
from .crossval import fold_matrix as fold_matrix
from .patients import assemble_patients as assemble_patients
from .predict import predict_out_of_fold as predict_out_of_fold
from .settings import ModelSettings as ModelSettings
from .store import load_stack as load_stack
from .store import save_stack as save_stack
from .training.experiment import cross_validate as cross_validate
