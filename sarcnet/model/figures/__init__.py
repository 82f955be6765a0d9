"""What notebook 03 shows of trained models besides a few lines of seaborn.

In come out-of-fold risks, learning curves and trained networks (`sarcnet.model.cross_validate`); out come the risks beside
the outcomes at the horizon, as table and figure, the weights of the clinical variables, and sentences on when training
stopped.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
