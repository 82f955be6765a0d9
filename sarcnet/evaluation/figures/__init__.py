"""Figures of notebook 05: AUCs with intervals, subgroups, risk groups in time, calibration and decisions.

In come the tables and curves that the other sub-packages compute; out come matplotlib figures, which the notebook hands to
its stage with caption and data.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
