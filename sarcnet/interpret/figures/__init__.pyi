from .measured import draw_concepts as draw_concepts
from .measured import draw_measured as draw_measured
from .response import draw_nomogram as draw_nomogram
from .response import draw_response as draw_response
from .tiles import draw_heatmaps as draw_heatmaps
