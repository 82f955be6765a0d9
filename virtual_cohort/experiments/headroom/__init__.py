"""How much of what could be won with a slide was won: the share of the room between the best model without one and the truth.

In come resampled AUCs of the models (`sarcnet.evaluation.compare_models`) and the true risks of simulated patients; out come
the oracle as one more model, the share with Fieller's interval, and a sentence on it.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
