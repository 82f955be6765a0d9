"""What became of every slide: failures with cause and advice, and sheets of small pictures to leaf through.

In come the report of :func:`sarcnet.slides.tile_cohort`'s results and what hospitals said beforehand; out go the table of
failures, its record in the stage, and one contact sheet per hospital.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
