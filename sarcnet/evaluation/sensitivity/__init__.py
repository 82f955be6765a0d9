"""How much do the results depend on assumptions: on why patients were lost, and on who was in the training series?

In come series with their risks; out go tables of the same AUCs and Brier scores under other weights or another variance, and
of the spread of one patient's risk over the networks of a model.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
