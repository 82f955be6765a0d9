"""Training the networks: folds of patients, a LightningModule that trains all networks of a model together, and the models.

In come patients (`sarcnet.model.assemble_patients`) and a protocol that holds every setting; out come folds, the variants
of the model that the study compares, and for each network what `lightning.Trainer.fit` is called with: the module and its
batches. `sarcnet.model.cross_validate` does the whole of it for one model.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
