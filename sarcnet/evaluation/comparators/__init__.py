"""What the network is compared with: the FNCLCC grade, and Cox models that see no slide.

In come patients with clinical variables and follow-up, and the folds of the cross-validation. Out go, for each comparator,
risks of patients who took no part in fitting it: cumulative incidences of metastasis by the horizon, or the grade itself.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
