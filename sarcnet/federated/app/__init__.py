"""The two Flower apps, and the ledger of what passes between them.

A round is read in five files: `server_app` asks, `strategy` sends the model and adds the changes, `local_training` receives,
trains and answers, `local_trainers` are the four ways to train, `aggregate` combines what came back. In comes a plan at the
server and a data folder at each hospital; out go changes of weights, sums over patients, and a row in the ledger for each.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
