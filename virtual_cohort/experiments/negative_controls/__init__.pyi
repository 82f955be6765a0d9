from .checks import PROMISES as PROMISES
from .checks import verdicts as verdicts
