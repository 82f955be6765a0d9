"""Would the predictions change a decision?

In come series with predicted risks and the risks at which a treatment might be offered; out go decision curves, sensitivity,
predictive values and net benefit at these thresholds, and the gain in net benefit over other policies, with intervals.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
