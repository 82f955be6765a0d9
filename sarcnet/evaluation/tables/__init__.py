"""Tables of results as people read them: every model with its interval, every difference, the paper's numbers beside ours.

In come AUC tables and resampled AUCs of :func:`sarcnet.evaluation.compare_models`; out go wide tables of text, one row per
model and one column per series.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
