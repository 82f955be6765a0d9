"""What protects patients, what it costs, and what can be inferred without it.

In come gradients, changes or counts of a hospital's patients; out go clipped and noised ones with the ε they cost, sums whose
terms the server cannot read, and tables without small cells. Two attacks show on simulated patients what a model and an update
give away.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
