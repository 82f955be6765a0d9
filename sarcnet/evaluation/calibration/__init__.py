"""Are predicted risks true as numbers, and if not, how do they deviate: too high, too low, too timid, too extreme?

In come series with predicted risks; out go curves, slopes, intercepts and ratios of observed over predicted risk with their
intervals, and the sentences that follow from these intervals.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
