"""Which measurable patterns go with the score: tiles that raise it against tiles that lower it, within each patient.

In come tiles with their contributions and with measured (or true) patterns, and the features of the same tiles. Out come
effects in standard deviations with intervals and corrected P values, the same in shuffled networks, how well a linear probe
reads each pattern from the features, and a verdict for each pattern that the paper names.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
