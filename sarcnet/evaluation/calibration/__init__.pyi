from .by_series import agreement_table as agreement_table
from .by_series import agreements as agreements
from .by_series import calibration_of as calibration_of
from .by_series import change as change
from .by_series import deviations as deviations
