"""How much of the features is the hospital (stain, scanner) rather than the tissue, in numbers and for the eye.

In come feature files and the report on their slides; out come a sample of tiles with their features, the share of variance
between hospitals, how well a linear rule names the hospital of unseen slides, and a plane to look at tiles in. For looking
only: no later stage uses it.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
