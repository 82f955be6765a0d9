"""What a simulated control cohort must not show, and whether it was found there nevertheless.

In come the name of the control and the resampled AUCs of the models, cross-validated and on the validation series; out comes
one row per check: held, not held, or that these patients are too few to say.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
