from .experiment import Protocol as Protocol
from .experiment import learning_curves_to_the_end as learning_curves_to_the_end
from .experiment import make_folds as make_folds
from .experiment import prepare_training as prepare_training
from .experiment import study_variants as study_variants
from .lightning_module import StackTraining as StackTraining
