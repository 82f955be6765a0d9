from .forest import draw_forest as draw_forest
from .forest import label_forest as label_forest
from .response import draw_nomogram as draw_nomogram
from .response import draw_response as draw_response
from .tiles import draw_heatmaps as draw_heatmaps
