from .knobs import draw_artefacts as draw_artefacts
from .knobs import draw_cells as draw_cells
from .knobs import draw_knobs as draw_knobs
from .knobs import knob_values as knob_values
