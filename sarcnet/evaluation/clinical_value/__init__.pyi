from .decisions import benefit_gains_of as benefit_gains_of
from .decisions import decisions_of as decisions_of
from .decisions import gains_readable as gains_readable
from .decisions import gains_text as gains_text
from .decisions import thresholds_of as thresholds_of
