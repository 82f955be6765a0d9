"""Risks of the validation series under the networks that notebooks 03 and 04 stored.

In come stored stacks of networks, patients on whom none of them was trained, and the feature files of their slides. Out go
their risks under every network, the mean over the networks, and the risks by each month of the hazard's intervals.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
