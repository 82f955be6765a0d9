"""What is measured on predictions: discrimination, accuracy and their intervals, weighted for censoring.

In come risks of n patients and what is known of them; out go single numbers, or tables with one row per model, horizon or
series. The metrics for competing risks are code of this package: lifelines, scikit-learn and scipy have none of them
weighted by hospital and with deaths as controls, and scikit-survival, which the tests compare with, has no competing death.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
