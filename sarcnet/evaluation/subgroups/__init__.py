"""For whom does a model work, and how do those fare whom it calls high or low risk?

In come series with predicted risks; out go AUCs and differences in hospitals and subgroups with tests of heterogeneity, the
cut-off between risk groups, survival and incidence by group, and moves between the groups of two scores.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
