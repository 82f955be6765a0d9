from .auc import auc_of as auc_of
from .auc import effective_number as effective_number
from .auc import weights as weights
from .over_time import accuracy_intervals as accuracy_intervals
from .over_time import auc_in_time as auc_in_time
from .over_time import brier_table as brier_table
from .over_time import metrics_table as metrics_table
from .over_time import weight_table as weight_table
