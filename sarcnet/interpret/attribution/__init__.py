"""How far to believe the parts of a score, and what they mean in risk.

In come the explained stack, its patients and which of its networks are asked for each. Out come parts beside exact Shapley
values, maps beside those of shuffled networks, the answer of the risk to each clinical variable, and a nomogram.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
