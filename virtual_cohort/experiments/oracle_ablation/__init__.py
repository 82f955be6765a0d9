"""Where the room between the model and the oracle is lost: in reading the slide, or in learning from few patients.

In come patients, folds, the features of their slides and the true patterns of simulated tumours; out come the risks of Cox
models that are spared one difficulty each, and, once these are compared, the ladder of their AUCs as tables, figure and
sentence.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
