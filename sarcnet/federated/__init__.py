"""Federated training: hospitals that keep their patients train one model by exchanging changes of its weights.

In come a plan (`FederationConfig`: the protocol of the model, rounds, strategy) and for every hospital a data folder that only
its own program opens. Out comes a `FederatedRun`: the trained networks, a ledger of every message, losses by round and
hospital, and the hospitals' own evaluation on held-out patients. The same two Flower apps (`sarcnet.federated.app`) run in one
process, in Flower's simulation and on deployed nodes (docs/federation.md).
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
