"""Figures of an explained model.

In come what `explain`, `attribution` and `patterns` return; out come matplotlib figures: heat maps over slides, the risk
against each clinical variable, the nomogram, and points with intervals for patterns, drawn into the axes of a notebook.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
