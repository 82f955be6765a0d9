from .networks import mean_risks as mean_risks
from .networks import member_risks as member_risks
from .networks import risks_in_time as risks_in_time
