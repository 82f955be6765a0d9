from .outcome import clinical_weights as clinical_weights
from .outcome import draw_risk_by_outcome as draw_risk_by_outcome
from .outcome import risk_table as risk_table
from .outcome import stopping_text as stopping_text
