"""What a simulation can ask of a federated training, as it holds everybody's patients; and recalibration, which needs none.

In come a finished `FederatedRun`, the patients of all hospitals and their folds; out go predictions after every round, losses
beside those of the pooled training, other strategies under the same budget, a panel that steps through the rounds, and, from
sums of the hospitals alone, two numbers that mend the risks' calibration.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
