"""Rendered H&E and HES slides of simulated tumours, as a scanner would write them, and figures of what can be turned.

In come the visible pathology of a tumour, a scanner and a seed; out come slide files with their nuclei and regions, and
the figures of notebook 00 that turn one pathology feature at a time in one and the same tissue.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
