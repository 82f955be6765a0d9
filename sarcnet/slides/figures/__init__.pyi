from .explained import draw_overviews as draw_overviews
from .explained import draw_same_glass as draw_same_glass
from .explained import draw_tissue_steps as draw_tissue_steps
from .explained import example_slides as example_slides
from .explained import resolution_table as resolution_table
