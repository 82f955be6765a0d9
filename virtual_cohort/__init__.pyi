from .notebook_text import generate_cohort as generate_cohort
from .notebook_text import register_truth as register_truth
from .notebook_text import slides_with_artefacts as slides_with_artefacts
from .widget import knob_panel as knob_panel
