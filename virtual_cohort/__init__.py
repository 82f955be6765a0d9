"""The virtual cohort: simulated patients, their pathology, their rendered slides and the truth behind them.

In come settings and a seed; out comes a folder as hospitals would fill it, with the truth beside it in `truth/`, which
only the evaluation may open. It is the instrument that shows what the methods of `sarcnet` find; `sarcnet` never imports it.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
