from .by_series import calibration_of as calibration_of
from .verdict import agreement_table as agreement_table
from .verdict import agreements as agreements
from .verdict import change as change
from .verdict import deviations as deviations
