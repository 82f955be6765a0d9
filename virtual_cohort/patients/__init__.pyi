from .calibration import calibration_report as calibration_report
from .calibration import calibration_table as calibration_table
from .calibration import mass_patients as mass_patients
from .information import best_auc_by_source as best_auc_by_source
