from .cox import cox_risk as cox_risk
from .cox import fitted_comparator as fitted_comparator
from .cox import for_new_patients as for_new_patients
from .cox import in_time as in_time
from .cox import out_of_fold as out_of_fold
