"""Experiments that need the truth of the simulation, and so prove or refute what the study says.

In go models, explanations and review sheets of `sarcnet`, with the truth of the simulated patients; out come what the true
nuclei of a tile, the true hazard and the same tumour painted again with one knob turned say to them, as tables, figures and
sentences.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
