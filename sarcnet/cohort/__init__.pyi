from .endpoint import endpoint_named as endpoint_named
from .endpoint import read_endpoint as read_endpoint
from .figures import draw_slides as draw_slides
from .followup import describe_outcomes as describe_outcomes
from .outcome import Followup as Followup
from .read import read_cohort as read_cohort
from .settings import CohortSettings as CohortSettings
from .table1 import table_one as table_one
